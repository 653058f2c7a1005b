"""Beats and conditions of ingested recordings, fitted and embedded once and kept in the warehouse."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from models.beats.beats import Beats
from models.beats.recorded import VENTRICULAR_PREMATURE, beats_of_recordings
from models.beats.training import Examples
from models.conditioning import ConditionTensors
from models.ecg.r_peaks import in_samples
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
UNLIKE: Final = 0.6
"""Correlation with the median beat below which a beat is of another shape."""
EARLY: Final = 0.9
"""Share of the usual RR interval below which a beat is premature."""
SHAPE_S: Final = (-0.1, 0.3)
FEWEST_BEATS: Final = 3
ONSET: Final = 4
"""Samples whose mean is the level of a beat."""


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
    rows, beats = beats_of_recordings(ecgs.signal, r_peaks, kinds_by_shape(ecgs.signal, r_peaks, rate_hz), rate_hz)
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


def kinds_by_shape(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: float) -> list[np.ndarray]:
    """Which beats are ventricular premature: those that come early and are unlike the median beat.

    Args:
        signal: (n, 8, samples) mV.
        r_peaks: positions in samples per recording.

    Returns:
        Per recording the kind of each beat, as `models.beats.recorded` takes them.
    """
    window = np.arange(round(SHAPE_S[0] * rate_hz), round(SHAPE_S[1] * rate_hz) + 1)
    kinds = []
    for row, peaks in enumerate(r_peaks):
        found = np.zeros(len(peaks), np.int8)
        if len(peaks) >= FEWEST_BEATS:
            places = np.clip(np.rint(peaks).astype(int)[:, None] + window, 0, signal.shape[2] - 1)
            beats = signal[row][:, places].transpose(1, 0, 2)
            beats = beats - beats[..., :ONSET].mean(axis=-1, keepdims=True)
            median = np.median(beats, axis=0)
            centred, expected = (one - one.mean(axis=-1, keepdims=True) for one in (beats, median))
            norm = np.sqrt((centred**2).sum(axis=(1, 2)) * (expected**2).sum() + 1e-9)
            rr = np.diff(peaks)
            early = np.concatenate([[False], rr < EARLY * np.median(rr)])
            found[((centred * expected).sum(axis=(1, 2)) / norm < UNLIKE) & early] = VENTRICULAR_PREMATURE
        kinds.append(found)
    return kinds
