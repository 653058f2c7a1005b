"""Beats and conditions of ingested recordings, fitted and embedded once and kept in the warehouse."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from models.beats.beats import Beats
from models.beats.recorded import beats_of_recordings
from models.beats.training import Examples
from models.conditioning import ConditionTensors
from models.ecg.r_peaks import in_samples
from models.rhythm.beat_kinds import ventricular_beats
from models.rhythm.rhythm import SINUS, VENTRICULAR_PREMATURE
from tasks.conditions.condition import ConditionEmbedder, conditions_of
from tasks.ecg_sets import LearningSplit, read_recordings
from tasks.knowledge.embeddings import local_embeddings
from tasks.settings import RetrievalSettings
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.whole_files import whole_file

LOG: Final = logging.getLogger("einthoven")
STATEMENT_TOKENS: Final = 4


@dataclass(frozen=True)
class People:
    """Recordings of a split.

    Attributes:
        examples: beats, conditions and patients.
        labels: (n, 5) bool, diagnostic superclasses.
    """

    examples: Examples
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, rows: Tensor) -> People:
        """Some recordings, by index or mask."""
        return People(self.examples[rows], self.labels[rows.numpy()])

    def __add__(self, other: People) -> People:
        """These recordings, then the others."""
        examples, others = self.examples, other.examples
        return People(
            Examples(
                Beats.stack([examples.beats, others.beats]),
                ConditionTensors.stack([examples.condition, others.condition]),
                torch.cat([examples.patients, others.patients]),
            ),
            np.concatenate([self.labels, other.labels]),
        )

    def one_of_each(self, seed: int, most: int | None = None) -> People:
        """One recording of each patient, at random, of so many patients at most, at random too."""
        order = np.random.default_rng(seed).permutation(len(self))
        first = np.unique(self.examples.patients.numpy()[order], return_index=True)[1]
        chosen = np.sort(order[np.sort(first)[:most]])
        return self[torch.from_numpy(chosen)]

    @property
    def rr_s(self) -> Tensor:
        """(n,) RR interval of the condition, in seconds; that of 75 bpm where it is unknown."""
        rate = self.examples.condition.numbers[:, 2]
        known = self.examples.condition.present[:, -1] & (rate > 0)
        return 60.0 / torch.where(known, rate, 75.0)


def people_of(store: Store, recordings: Reference, split: LearningSplit) -> People:
    """Beats and conditions of a split, made once and kept in the warehouse's folder `_prevention`."""
    path = store.root / "_prevention" / recordings.id / f"{split}.safetensors"
    if not path.is_file():
        LOG.info("fitting the beats of the %s split", split)
        made = _made(store, recordings, split)
        with whole_file(path) as file:
            file.write(save({name: one.contiguous() for name, one in made.items()}))
    found = load_file(path)
    condition = {name.removeprefix("condition."): one for name, one in found.items() if name.startswith("condition.")}
    beats = Beats(found["usual"], found["ectopic"], found["has_ectopic"])
    return People(Examples(beats, ConditionTensors(**condition), found["patients"]), found["labels"].numpy())


def _made(store: Store, recordings: Reference, split: LearningSplit) -> dict[str, Tensor]:
    facts = store.facts(recordings, RecordingsFacts)
    ecgs, rate_hz = read_recordings(store, recordings, split), facts.sampling_rate_hz
    r_peaks = in_samples(ecgs.r_peaks_s, rate_hz)
    kinds = [
        np.where(ventricular_beats(signal, peaks / rate_hz, rate_hz), VENTRICULAR_PREMATURE, SINUS)
        for signal, peaks in zip(ecgs.signal, r_peaks, strict=True)
    ]
    rows, beats = beats_of_recordings(ecgs.signal, r_peaks, kinds, rate_hz)
    embedder = ConditionEmbedder(local_embeddings(), None, facts.statements, STATEMENT_TOKENS, 0, RetrievalSettings())
    conditions = conditions_of(ecgs.table.take(rows), facts.statements)
    embedder.embed([one.text for one in conditions])  # many at once: one by one takes ten times as long
    _, patients = np.unique(ecgs.patients, return_inverse=True)
    return {
        "usual": beats.usual,
        "ectopic": beats.ectopic,
        "has_ectopic": beats.has_ectopic,
        "patients": torch.from_numpy(patients[rows]),
        "labels": torch.from_numpy(ecgs.labels[rows]),
        **{f"condition.{name}": one for name, one in embedder(conditions)[0].tensors().items()},
    }
