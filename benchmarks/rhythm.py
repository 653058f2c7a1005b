"""How fast are rhythms and their beats drawn for a batch, and are stated rhythms found in recordings?

`python -m benchmarks.rhythm [--quick] [--data PATH]` times, on one thread and in turns, `models.rhythm.drawn` and
`models.rhythm.rendering` on a batch of 1,024 rows against the same rows drawn one by one by
`models.simulator.rhythm_series` and rendered by `models.simulator.beat_events`. With the folder of PTB-XL it finds the
rhythms of fold 9 (`models.rhythm.recorded`) without their statements and compares: of the recordings with a statement
the share in which it is found (sensitivity), of the others that in which it is not (specificity).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.record import Check, arguments, publish
from benchmarks.timing import in_turns, rate, rate_ratio
from models.beats.beats import Beats
from models.ecg.cardiac_phase import padded_times
from models.ecg.r_peaks import locate_r_peaks
from models.evaluation.metrics import Estimate, wilson
from models.rhythm.drawn import draw_rhythms
from models.rhythm.recorded import rhythm_of_recordings
from models.rhythm.rendering import render
from models.rhythm.rhythm import (
    ATRIAL_PREMATURE,
    ESCAPE,
    FIBRILLATION,
    FLUTTER,
    NO_ATRIAL,
    VENTRICULAR_PREMATURE,
    Rhythm,
)
from models.rhythm.statistics import ECTOPIES, RHYTHMS, USUAL
from models.row_seeds import row_generator
from models.simulator import rhythm_series
from models.simulator.beat_events import EVENTS, simulated_ecg
from warehouse.errors import SourceError
from warehouse.sources.record import BadRecord
from warehouse.sources.registry import open_source

ROWS: Final = 1024
RATE_HZ, DURATION_S = 100, 10.0
SAMPLES: Final = round(RATE_HZ * DURATION_S)
DRAWN: Final = (
    ("sinus", "none", "sinus"),
    ("atrial fibrillation", "none", "atrial fibrillation"),
    ("sinus", "ventricular premature beats", "ectopic beats"),
    ("sinus tachycardia", "none", "sinus tachycardia"),
)
"""Rhythm and premature beats of the rows in equal shares, and what `rhythm_series` calls them."""
FOLD: Final = 9
FAST_BPM: Final = 120.0
RUN: Final = 2
"""Premature beats in a row, each so many beats after the last, that make a bigeminy or trigeminy, less one."""


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    given = arguments(__doc__.splitlines()[0]).parse_args(words)
    started, threads = time.monotonic(), torch.get_num_threads()
    torch.set_num_threads(1)
    turns = 3 if given.quick else 10
    seconds = in_turns(_batch, _row_by_row, repetitions=turns)
    torch.set_num_threads(threads)
    batch, row_by_row = seconds.T
    checks = [
        _check("batch over row by row", rate_ratio(batch, ROWS, row_by_row, ROWS), "×", turns),
        _check("batch", rate(batch, ROWS), "rows/s", turns),
        _check("row by row", rate(row_by_row, ROWS), "rows/s", turns),
    ]
    if given.data is not None:
        checks += _statements(given.data)
    publish(
        "rhythm",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={"rows": ROWS, "sampling_rate_hz": RATE_HZ, "duration_s": DURATION_S, "threads": 1, "turns": turns},
    )


def _check(name: str, found: Estimate, unit: str, n: int) -> Check:
    return Check(name=name, value=found.value, low=found.low, high=found.high, unit=unit, n=n)


def _heart_rates() -> torch.Tensor:
    return torch.linspace(50.0, 130.0, ROWS)


def _beats() -> Beats:
    """Something to add up; what it looks like changes no time."""
    amplitude = 0.1 * torch.randn(2, ROWS, 8, len(EVENTS), generator=torch.Generator().manual_seed(1))
    return Beats(amplitude[0], amplitude[1], torch.ones(ROWS, dtype=torch.bool))


@torch.inference_mode()
def _batch(turn: int) -> torch.Tensor:
    asked = [(RHYTHMS.index(rhythm), ECTOPIES.index(ectopy)) for rhythm, ectopy, _ in DRAWN]
    rhythm, ectopy = torch.tensor(asked).repeat(ROWS // len(DRAWN), 1).unbind(dim=1)
    seeds = torch.arange(ROWS) + ROWS * (turn + 1)
    drawn = draw_rhythms(rhythm, ectopy, _heart_rates(), USUAL, DURATION_S, seeds)
    return render(_beats(), drawn, RATE_HZ, SAMPLES, seeds)


@torch.inference_mode()
def _row_by_row(turn: int) -> torch.Tensor:
    names = [DRAWN[row % len(DRAWN)][2] for row in range(ROWS)]
    peaks = [
        rhythm_series.draw_r_peaks(
            rhythm_series.RHYTHMS.index(name),
            heart_rate,
            rhythm_series.USUAL[name],
            DURATION_S,
            row_generator(row + ROWS * (turn + 1), "rhythm"),
        )
        for row, (name, heart_rate) in enumerate(zip(names, _heart_rates().tolist(), strict=True))
    ]
    return simulated_ecg(_beats().usual, padded_times(peaks), RATE_HZ, SAMPLES)


def _statements(folder: Path) -> list[Check]:
    """Sensitivity and specificity for each statement on fold 9."""
    signals, held = [], []
    try:
        source = open_source("ptbxl", folder)
        for record in source.records():
            if record.strat_fold != FOLD:
                continue
            try:
                signals.append(source.read(record, RATE_HZ, DURATION_S))
            except BadRecord:
                continue
            held.append({code for code, _ in record.statements})
    except SourceError as error:
        raise SystemExit(str(error)) from None
    signal = np.stack(signals)
    found = rhythm_of_recordings(signal, locate_r_peaks(signal, RATE_HZ), RATE_HZ)
    checks = []
    for name, (codes, shown) in _shown(found).items():
        stated = np.array([bool(codes & one) for one in held])
        for what, hits in (("sensitivity", shown[stated]), ("specificity", ~shown[~stated])):
            checks.append(_check(f"{name}: {what}", wilson(float(hits.sum()), len(hits)), "", len(hits)))
    return checks


def _shown(rhythm: Rhythm) -> dict[str, tuple[set[str], np.ndarray]]:
    """What is found, the statements that say so, and in which recordings it is found, (B,) bool."""
    kinds, atrial = rhythm.kinds.numpy(), rhythm.atrial.numpy()
    rr_s = rhythm.r_times_s.diff(dim=1).nanmean(dim=1).numpy()
    premature = (kinds == ATRIAL_PREMATURE) | (kinds == VENTRICULAR_PREMATURE)
    distances = [np.diff(np.flatnonzero(row)) for row in premature]
    return {
        "ventricular premature beats": ({"PVC", "BIGU", "TRIGU"}, (kinds == VENTRICULAR_PREMATURE).any(axis=1)),
        "atrial premature beats": ({"PAC"}, (kinds == ATRIAL_PREMATURE).any(axis=1)),
        "bigeminy": ({"BIGU"}, np.array([(one == 2).sum() >= RUN for one in distances])),
        "trigeminy": ({"TRIGU"}, np.array([(one == 3).sum() >= RUN for one in distances])),
        "atrial fibrillation": ({"AFIB"}, atrial == FIBRILLATION),
        "atrial flutter": ({"AFLT"}, atrial == FLUTTER),
        "supraventricular tachycardia": ({"SVTAC", "PSVT"}, (atrial == NO_ATRIAL) & (rr_s < 60.0 / FAST_BPM)),
        "escape beats in AV block": ({"2AVB", "3AVB"}, (kinds == ESCAPE).any(axis=1)),
    }


if __name__ == "__main__":
    main()
