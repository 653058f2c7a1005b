"""How well are exchanged electrodes recognised?

`python -m benchmarks.electrode_swaps --data PATH` exchanges electrodes of PTB-XL's recordings of one fold and asks the
detector of quality flags (`models.ecg.electrode_swaps`), which also judges the recordings as they are. Some of these
may in truth have been recorded with exchanged electrodes, so that false alarms are counted too high. Fold 9 (default)
is where the operating point was chosen; `--fold 10` is for reports. It also writes the mean second moments of folds 1
to 8, from which the detector's constants are copied (`--quick`: only every tenth recording is read).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.record import Check, arguments, publish
from models.ecg.electrode_swaps import SEGMENTS_S, SWAPS, flagged, gains, lead_moments, swap_matrix
from models.ecg.r_peaks import locate_r_peaks
from models.evaluation.metrics import wilson
from warehouse.errors import SourceError
from warehouse.sources.record import BadRecord, SourceRecord
from warehouse.sources.registry import open_source
from warehouse.sources.source import Source

RATE_HZ: Final = 100
LAST_TRAINING_FOLD: Final = 8
AT_ONCE: Final = 256


def main(words: Sequence[str] | None = None) -> None:
    """Measure and record."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--fold", type=int, choices=(9, 10), default=9, help="fold to judge (default: 9)")
    chosen = parser.parse_args(words)
    if chosen.data is None:
        raise SystemExit("give the folder of PTB-XL with --data")
    started = time.monotonic()
    try:
        source = open_source("ptbxl", chosen.data)
        records = source.records()[:: 10 if chosen.quick else 1]
    except SourceError as error:
        raise SystemExit(str(error)) from None
    judged = moments_of(source, [one for one in records if one.strat_fold == chosen.fold])
    learned = moments_of(source, [one for one in records if (one.strat_fold or 0) <= LAST_TRAINING_FOLD])
    publish(
        "electrode_swaps",
        swap_checks(judged),
        quick=chosen.quick,
        seconds=time.monotonic() - started,
        settings={"fold": chosen.fold},
        details={"second_moments": dict(zip(SEGMENTS_S, mean_moments(learned).tolist(), strict=True))},
    )


def moments_of(source: Source, records: Sequence[SourceRecord]) -> np.ndarray:
    """Second moments of recordings as they are, (recordings, segments, 8, 8) mV²; those of under two beats are left out."""
    found = [np.empty((0, len(SEGMENTS_S), 8, 8))]
    for start in range(0, len(records), AT_ONCE):
        signals = []
        for record in records[start : start + AT_ONCE]:
            try:
                signals.append(source.read(record, RATE_HZ))
            except BadRecord:
                continue
        if signals:
            signal = np.stack(signals)
            moments = lead_moments(signal, locate_r_peaks(signal, RATE_HZ), RATE_HZ)
            found.append(moments[np.isfinite(moments).all(axis=(1, 2, 3))])
    return np.concatenate(found)


def mean_moments(moments: np.ndarray) -> np.ndarray:
    """Mean over recordings, each divided by its trace, (segments, 8, 8), in 1e-4."""
    traces = np.trace(moments, axis1=2, axis2=3)[:, :, None, None]
    return np.rint(np.mean(moments / np.maximum(traces, 1e-12), axis=0) * 1e4).astype(int)


def swap_checks(moments: np.ndarray) -> list[Check]:
    """Sensitivity to each exchange, whether it is called by its name, and false alarms."""
    n = len(moments)
    as_they_are = flagged(gains(moments))
    checks = []
    for name in SWAPS:
        swap = swap_matrix(name)
        found = flagged(gains(swap @ moments @ swap.T))
        any_flag = np.any(list(found.values()), axis=0)
        checks += [
            share(f"{name}: flagged when exchanged", found[name], n),
            share(f"{name}: any swap flagged when exchanged", any_flag, n),
            share(f"{name}: flagged as recorded", as_they_are[name], n),
        ]
    return [*checks, share("any swap flagged as recorded", np.any(list(as_they_are.values()), axis=0), n)]


def share(name: str, found: np.ndarray, n: int) -> Check:
    """A share of recordings with its 95 % interval (Wilson 1927)."""
    measured = wilson(int(found.sum()), n)
    return Check(name=name, value=measured.value, low=measured.low, high=measured.high, n=n)


if __name__ == "__main__":
    main()
