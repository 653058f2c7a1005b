"""ECGs of the simulator alone for conditions: recorded beats in new rhythms.

Every model of cohorts must beat it on fidelity (science notes §7). It is never released: it shows the waves of single
patients, of whom a diffusion model has learned the distribution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.compute as pc
import torch
from safetensors.torch import load_file, save_file

from benchmarks.simulator_alone.beat_library import BeatLibrary, fit_library, simulate_from
from models.ecg.quality_vocabulary import UNUSABLE_FLAGS
from models.ecg.r_peaks import in_samples
from tasks.conditions.condition import Condition, StatementFacts, conditions_of
from warehouse.errors import EinthovenError
from warehouse.schema import R_PEAK_COLUMN
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import LEAD_COLUMNS, from_lead_columns, from_r_peak_column

VERSION: Final = 1
"""Raised when the same recordings would give other waves."""
CANDIDATES: Final = 8
"""Training recordings that a condition's beats are drawn from."""
VARIATION: Final = 0.08
"""Standard deviation of the log factors on P, QRS and T."""
SUPERCLASSES_COUNT, RHYTHM_COUNTS, SEX_COUNTS, DECADE_COUNTS, RATE_COUNTS = 2.0, 1.0, 0.1, 0.03, 0.5
"""What sharing superclasses, rhythm and sex adds, and a decade of age and an octave of heart rate take off, where
sharing all statements counts 1."""
FASTEST_BPM, SLOWEST_BPM = 220.0, 30.0


class SimulatorBaselineError(EinthovenError):
    """There is nothing to simulate from."""


@dataclass(frozen=True)
class RecordedBeats:
    """Beats of training recordings and what they are examples of.

    Attributes:
        fits: waves and noise of the n recordings.
        conditions: of each entry, heart rate and statements included.
        facts: description, superclass and kind of each statement.
        rate_hz, samples: sampling rate and length of the recordings.
    """

    fits: BeatLibrary
    conditions: list[Condition]
    facts: StatementFacts
    rate_hz: int
    samples: int

    @cached_property
    def _described(self) -> tuple[list[frozenset[str]], list[frozenset[str]], np.ndarray, np.ndarray]:
        statements = [frozenset(one.statements) for one in self.conditions]
        superclasses = [frozenset(one.all_superclasses(self.facts)) for one in self.conditions]
        age = np.array([np.nan if one.age_years is None else one.age_years for one in self.conditions])
        return statements, superclasses, age, 60.0 / self.fits.rr_s.numpy()

    def _rhythm(self, statements: Iterable[str]) -> frozenset[str]:
        return frozenset(code for code in statements if self.facts.get(code, {}).get("kind") == "rhythm")

    def candidates(self, condition: Condition) -> np.ndarray:
        """The entries that resemble a condition most, best first; at most `CANDIDATES`."""
        statements, superclasses, age, rate = self._described
        asked, classes = condition.statements, condition.all_superclasses(self.facts)
        score = np.array([_shared(frozenset(asked), held) for held in statements])
        score += SUPERCLASSES_COUNT * np.array([_shared(frozenset(classes), held) for held in superclasses])
        score += RHYTHM_COUNTS * np.array([_shared(self._rhythm(asked), self._rhythm(held)) for held in statements])
        if condition.sex is not None:
            score += SEX_COUNTS * np.array([one.sex == condition.sex for one in self.conditions])
        if condition.age_years is not None:
            score -= DECADE_COUNTS * np.nan_to_num(np.abs(age - condition.age_years) / 10.0, nan=3.0)
        if condition.heart_rate_bpm is not None:
            score -= RATE_COUNTS * np.abs(np.log2(rate / condition.heart_rate_bpm))
        return np.argsort(-score, kind="stable")[:CANDIDATES]


def recorded_beats(store: Store, recordings: Reference, steps: int = 150) -> RecordedBeats:
    """Fit the usable training recordings, or find the fit in the warehouse's cache; about 30 ms per recording.

    Args:
        store: the warehouse.
        recordings: what ingestion committed.
        steps: gradient steps of the fit.

    Raises:
        SimulatorBaselineError: no training recording is usable.
    """
    source = store.manifest(recordings).facts
    columns = ["split", "quality_flags", "statements", "age_years", "sex", "heart_rate_bpm", R_PEAK_COLUMN]
    table = store.read(recordings, "recordings", [*columns, *LEAD_COLUMNS])
    table = table.filter(pc.equal(table["split"], "train"))
    usable = [
        not any(flag.startswith(prefix) for flag in flags or [] for prefix in UNUSABLE_FLAGS)
        for flags in table["quality_flags"].to_pylist()
    ]
    table = table.filter(usable)
    rate_hz = int(source["sampling_rate_hz"])
    path = store.root / "_cache" / "beats" / f"{recordings.id}-{VERSION}-{steps}.safetensors"
    if path.exists():
        library = BeatLibrary(**load_file(path))
    else:
        signal = from_lead_columns(table)
        peaks = in_samples(from_r_peak_column(table), rate_hz)
        if not any(len(each) >= 2 for each in peaks):
            raise SimulatorBaselineError(f"{recordings}: no usable training recording has two beats to fit")
        library = fit_library(signal, peaks, rate_hz, steps)
        _save(library, path)
    known = conditions_of(table, source["statements"])
    return RecordedBeats(
        library, [known[row] for row in library.rows.tolist()], source["statements"], rate_hz, int(source["samples"])
    )


def simulate_conditions(
    beats: RecordedBeats, conditions: Sequence[Condition], seeds: Sequence[int], variation: float = VARIATION
) -> np.ndarray:
    """Simulate one ECG per condition; each depends on its own seed and condition only.

    Beats come from a training recording that resembles the condition, noise from another; the heart rate is the one
    asked for, or the recording's where none is.

    Returns:
        (n, 8, samples) float32 mV.

    Raises:
        ValueError: seeds and conditions differ in number.
    """
    if len(seeds) != len(conditions):
        raise ValueError(f"{len(conditions)} conditions need as many seeds, got {len(seeds)}")
    signal = np.zeros((len(conditions), 8, beats.samples), dtype=np.float32)
    for row, (condition, seed) in enumerate(zip(conditions, seeds, strict=True)):
        generator = torch.Generator().manual_seed(int(seed))
        candidates = torch.from_numpy(beats.candidates(condition))
        drawn = candidates[torch.randint(len(candidates), (2,), generator=generator)]
        rate = condition.heart_rate_bpm or 60.0 / float(beats.fits.rr_s[drawn[0]])
        found = simulate_from(
            beats.fits,
            drawn[:1],
            drawn[1:],
            torch.tensor([min(max(rate, SLOWEST_BPM), FASTEST_BPM)]),
            beats.rate_hz,
            beats.samples,
            generator,
            variation,
        )
        signal[row] = found[0].numpy()
    return signal


def _save(library: BeatLibrary, path: Path) -> None:
    """The file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in library.tensors().items()}, partial)
    partial.replace(path)


def _shared(asked: frozenset[str], held: frozenset[str]) -> float:
    """Jaccard similarity; 1 for two empty sets."""
    return len(asked & held) / len(asked | held) if asked or held else 1.0
