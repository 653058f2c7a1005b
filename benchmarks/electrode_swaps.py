"""How well are exchanged electrodes recognised?

`python -m benchmarks.electrode_swaps --data PATH` exchanges electrodes of PTB-XL's recordings of folds 9 and 10 and
asks the detector of quality flags (`models.ecg.electrode_swaps`), which also judges the recordings as they are. Some
of these may in truth have been recorded with exchanged electrodes, so that false alarms are counted too high. The
operating point was chosen on fold 9; fold 10 is the report. `--moments` prints, instead, the mean second moments of
folds 1 to 8, from which the detector's constants are copied. With `--quick`, every tenth recording is read.
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
FOLDS: Final = (9, 10)
AT_ONCE: Final = 256


def main(words: Sequence[str] | None = None) -> None:
    """Measure and record."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--moments", action="store_true", help="print the detector's constants instead")
    chosen = parser.parse_args(words)
    if chosen.data is None:
        raise SystemExit("give the folder of PTB-XL with --data")
    started = time.monotonic()
    try:
        source = open_source("ptbxl", chosen.data)
        records = source.records()[:: 10 if chosen.quick else 1]
    except SourceError as error:
        raise SystemExit(str(error)) from None
    if chosen.moments:
        learned = moments_of(source, [one for one in records if (one.strat_fold or 0) <= LAST_TRAINING_FOLD])
        for name, matrix in zip(SEGMENTS_S, mean_moments(learned).tolist(), strict=True):
            print(name, [row[: index + 1] for index, row in enumerate(matrix)])
        return
    checks = []
    for fold in FOLDS:
        judged = moments_of(source, [one for one in records if one.strat_fold == fold])
        checks += swap_checks(judged, f"fold {fold}: ")
    publish(
        "electrode_swaps",
        checks,
        quick=chosen.quick,
        seconds=time.monotonic() - started,
        settings={},
    )


def moments_of(source: Source, records: Sequence[SourceRecord]) -> np.ndarray:
    """Second moments of recordings as they are, (recordings, segments, 8, 8) mV².

    Those that cannot be used or have fewer than two beats are left out.
    """
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


def swap_checks(moments: np.ndarray, of: str = "") -> list[Check]:
    """Sensitivity to each exchange, whether it is called by its name, and false alarms; names begin with `of`."""
    n = len(moments)
    as_they_are = flagged(gains(moments))
    checks = []
    for name in SWAPS:
        swap = swap_matrix(name)
        found = flagged(gains(swap @ moments @ swap.T))
        any_flag = np.any(list(found.values()), axis=0)
        checks += [
            share(f"{of}{name} flagged when exchanged", found[name], n),
            share(f"{of}{name} any swap flagged when exchanged", any_flag, n),
            share(f"{of}{name} flagged as recorded", as_they_are[name], n),
        ]
    return [*checks, share(f"{of}any swap flagged as recorded", np.any(list(as_they_are.values()), axis=0), n)]


def share(name: str, found: np.ndarray, n: int) -> Check:
    """A share of recordings with its 95 % interval (Wilson 1927)."""
    measured = wilson(int(found.sum()), n)
    return Check(name=name, value=measured.value, low=measured.low, high=measured.high, n=n)


if __name__ == "__main__":
    main()
