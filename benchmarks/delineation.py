"""Are R peaks and wave boundaries where cardiologists mark them, and how fast are they found?

`python -m benchmarks.delineation --data PATH [--quick]` takes the 12-lead recordings of LUDB (PATH is its folder), on
which nothing was trained or chosen, at 500 Hz and resampled to 100 Hz. Einthoven finds beats and boundaries on all
leads at once. sleepecg, XQRS of the WFDB toolbox and NeuroKit2 read one lead, here lead II, on which the R peaks were
marked.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.signal import resample_poly

from benchmarks.ludb import BOUNDARIES, RATE_HZ, Annotated, read_ludb
from benchmarks.record import RESULTS, Check, arguments, publish
from benchmarks.timing import in_turns, rate_ratio
from models.ecg.delineation import delineate
from models.ecg.median_beats import GRID_HZ, R_INDEX, median_beats
from models.ecg.r_peaks import locate_r_peaks
from models.evaluation.metrics import wilson
from models.leads import INDEPENDENT_LEADS, to_twelve_leads
from tasks.evaluation.rows.independent_r_peaks import independent_r_peaks

RATES_HZ: Final = (500, 100)
MATCH_S: Final = 0.075
"""An R peak this near to a marked one is the same."""
SAME_BEAT_S: Final = 0.15
"""Two detectors mean the same beat, or the same boundary, within this distance (ANSI/AAMI EC57)."""
QUICK_RECORDS: Final = 20
TIMED_RECORDS: Final = 4
"""Recordings whose twelve leads NeuroKit2 delineates for the comparison of speed."""
LEAD_II: Final = INDEPENDENT_LEADS.index("II")
NEUROKIT: Final = ("ECG_P_Onsets", "ECG_R_Onsets", "ECG_R_Offsets", "ECG_T_Offsets")
"""NeuroKit2's names of `BOUNDARIES`."""
TARGETS: Final[dict[str, dict[str, float]]] = {
    "P onset": {"deviation": 18.0},
    "QRS onset": {"bias": 5.0, "deviation": 13.0},
    "QRS offset": {"deviation": 19.0},
    "T offset": {"sensitivity": 0.97, "deviation": 28.0},
}

Delineated = list[tuple[np.ndarray, np.ndarray | None]]
"""Per recording: R peaks in seconds (beats,), and `BOUNDARIES` in seconds (beats, 4) or None."""
Method = Callable[[np.ndarray, int], Delineated]


def main(words: Sequence[str] | None = None, results: Path = RESULTS) -> None:
    """Run the benchmark."""
    parser = arguments(__doc__.splitlines()[0])
    given = parser.parse_args(words)
    if given.data is None:
        parser.error("--data PATH is needed: the folder of LUDB, with its data/ in it")
    started = time.monotonic()
    recordings = read_ludb(given.data, QUICK_RECORDS if given.quick else None)
    checks: list[Check] = []
    found_rows: list[list[str]] = []
    boundary_rows: list[list[str]] = []
    for rate_hz in RATES_HZ:
        signal = np.stack([one.signal for one in recordings])
        if rate_hz != RATE_HZ:
            signal = resample_poly(signal, rate_hz, RATE_HZ, axis=-1).astype(np.float32)
        for name, method in METHODS.items():
            begun = time.perf_counter()
            delineated = method(signal, rate_hz)
            per_second = len(recordings) / (time.perf_counter() - begun)
            own = name == OWN
            near, same = (_beats(recordings, delineated, within) for within in (MATCH_S, SAME_BEAT_S))
            found_rows.append(
                [f"{name}, {rate_hz} Hz", *(f"{x:.4f}" for x in (*near[:2], *same[:2])), f"{per_second:,.0f}"]
            )
            if own:
                checks += _beat_checks(near, rate_hz)
            references = ("all leads", "lead II") if own else ("lead II",)
            for reference in references:
                errors = _boundaries(recordings, delineated, reference)
                boundary_rows += [
                    [f"{name}, {rate_hz} Hz", boundary, reference, *_figures(*errors[boundary])] for boundary in errors
                ]
                if own and reference == "all leads":
                    checks += [check for each in errors for check in _boundary_checks(each, *errors[each], rate_hz)]
    checks.append(_speed(recordings))
    publish(
        "delineation",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={"recordings": len(recordings), "beats": sum(len(one.r_peaks_s) for one in recordings)},
        details={
            "tables": [
                {
                    "title": "R peaks, against those marked on lead II; the speed is that of one run, of Einthoven and "
                    "NeuroKit2 with the boundaries",
                    "head": ["", "Se ±75 ms", "PPV ±75 ms", "Se ±150 ms", "PPV ±150 ms", "recordings/s"],
                    "rows": found_rows,
                },
                {
                    "title": "boundaries, against the median of those marked on all leads, or those marked on lead II",
                    "head": ["", "boundary", "reference", "Se", "found in recordings without", "bias, ms", "sd, ms"],
                    "rows": boundary_rows,
                },
            ]
        },
        results=results,
    )


def _einthoven(signal: np.ndarray, rate_hz: int) -> Delineated:
    r_peaks = locate_r_peaks(signal, rate_hz)
    beats = median_beats(signal, r_peaks, rate_hz)
    found = delineate(beats)
    median_beat = np.stack([found.p_onset, found.qrs_onset, found.qrs_offset, found.t_end], axis=-1)
    relative = dict(zip(beats.rows.tolist(), (median_beat - R_INDEX) / GRID_HZ, strict=True))
    return [
        (peaks / rate_hz, peaks[:, None] / rate_hz + relative[row] if row in relative else None)
        for row, peaks in enumerate(r_peaks)
    ]


def _sleepecg(signal: np.ndarray, rate_hz: int) -> Delineated:
    from sleepecg import detect_heartbeats

    return [(detect_heartbeats(one[LEAD_II].astype(np.float64), rate_hz) / rate_hz, None) for one in signal]


def _xqrs(signal: np.ndarray, rate_hz: int) -> Delineated:
    return [(peaks, None) for peaks in independent_r_peaks(signal, rate_hz)]


def _neurokit(method: str) -> Method:
    return lambda signal, rate_hz: [_neurokit_lead(one[LEAD_II], rate_hz, method) for one in signal]


def _neurokit_lead(lead: np.ndarray, rate_hz: int, method: str) -> tuple[np.ndarray, np.ndarray | None]:
    import neurokit2

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # means of no beats
        clean = neurokit2.ecg_clean(lead.astype(np.float64), sampling_rate=rate_hz)
        r_peaks = np.asarray(neurokit2.ecg_peaks(clean, sampling_rate=rate_hz)[1]["ECG_R_Peaks"])
        if len(r_peaks) < 2:
            return r_peaks / rate_hz, None
        waves = neurokit2.ecg_delineate(clean, r_peaks, sampling_rate=rate_hz, method=method)[1]
    found = np.full((len(r_peaks), len(NEUROKIT)), np.nan)
    for column, name in enumerate(NEUROKIT):
        values = np.asarray(waves[name], dtype=np.float64)[: len(r_peaks)]
        found[: len(values), column] = values
    return r_peaks / rate_hz, found / rate_hz


OWN: Final = "Einthoven"
METHODS: Final[dict[str, Method]] = {
    OWN: _einthoven,
    "sleepecg": _sleepecg,
    "XQRS": _xqrs,
    "NeuroKit2 prominence": _neurokit("prominence"),
    "NeuroKit2 dwt": _neurokit("dwt"),
}


def _beats(recordings: list[Annotated], found: Delineated, within_s: float) -> tuple[float, float, int, int, int]:
    """Sensitivity, positive predictive value, hits, marked, found; LUDB leaves the outermost beats unmarked."""
    hits = marked = located = 0
    for one, (peaks, _) in zip(recordings, found, strict=True):
        true = one.r_peaks_s
        inside = peaks[(peaks > true[0] - SAME_BEAT_S) & (peaks < true[-1] + SAME_BEAT_S)]
        hits += _pairs(true, inside, within_s)
        marked, located = marked + len(true), located + len(inside)
    return hits / marked, hits / max(located, 1), hits, marked, located


def _pairs(true: np.ndarray, found: np.ndarray, within_s: float) -> int:
    """Pairs of beats no farther apart; each beat is in one pair at most."""
    pairs = row = column = 0
    while row < len(true) and column < len(found):
        if abs(true[row] - found[column]) <= within_s:
            pairs, row, column = pairs + 1, row + 1, column + 1
        elif found[column] < true[row]:
            column += 1
        else:
            row += 1
    return pairs


def _boundaries(
    recordings: list[Annotated], found: Delineated, reference: str
) -> dict[str, tuple[np.ndarray, int, int, int]]:
    """Per boundary: errors in ms of those found; how many are marked, are absent, are found though absent.

    A boundary is absent where none is marked in the whole recording: the first and last of a wave are often left out.
    """
    if all(boundaries is None for _, boundaries in found):
        return {}
    errors: dict[str, list[float]] = {name: [] for name in BOUNDARIES}
    counts = np.zeros((len(BOUNDARIES), 3), dtype=int)
    for one, (peaks, boundaries) in zip(recordings, found, strict=True):
        marked = one.boundaries_s if reference == "all leads" else one.lead_ii_s
        absent = ~np.isfinite(marked).any(axis=0)
        for r_peak, true in zip(one.r_peaks_s, marked, strict=True):
            nearest = int(np.abs(peaks - r_peak).argmin()) if len(peaks) else 0
            known = boundaries is not None and len(peaks) and abs(peaks[nearest] - r_peak) <= SAME_BEAT_S
            own = boundaries[nearest] if known and boundaries is not None else np.full(len(BOUNDARIES), np.nan)
            for column, name in enumerate(BOUNDARIES):
                if np.isfinite(true[column]):
                    counts[column, 0] += 1
                    if abs(own[column] - true[column]) <= SAME_BEAT_S:
                        errors[name].append(1000.0 * (own[column] - true[column]))
                elif absent[column]:
                    counts[column, 1:] += (1, bool(np.isfinite(own[column])))
    return {
        name: (np.asarray(errors[name]), int(row[0]), int(row[1]), int(row[2]))
        for name, row in zip(BOUNDARIES, counts, strict=True)
    }


def _figures(errors: np.ndarray, marked: int, absent: int, invented: int) -> list[str]:
    bias, deviation = (f"{errors.mean():.1f}", f"{errors.std():.1f}") if len(errors) else ("–", "–")
    return [f"{len(errors) / marked:.3f}", f"{invented} of {absent}", bias, deviation]


def _beat_checks(beats: tuple[float, float, int, int, int], rate_hz: int) -> list[Check]:
    sensitivity, precision, hits, marked, located = beats
    shares = (("sensitivity", sensitivity, marked, 0.997), ("positive predictive value", precision, located, 0.993))
    return [
        Check(
            name=f"R peaks, {rate_hz} Hz, {word}, ±75 ms",
            value=value,
            low=(interval := wilson(hits, of)).low,
            high=interval.high,
            target=target,
            n=of,
        )
        for word, value, of, target in shares
    ]


def _boundary_checks(
    boundary: str, errors: np.ndarray, marked: int, _absent: int, _invented: int, rate_hz: int
) -> list[Check]:
    targets = TARGETS[boundary]
    share = wilson(len(errors), marked)
    named = f"{boundary}, {rate_hz} Hz"
    kept: dict[str, Any] = {"unit": "ms", "comparison": "<=", "n": len(errors)}
    return [
        Check(
            name=f"{named}, sensitivity",
            value=share.value,
            low=share.low,
            high=share.high,
            target=targets.get("sensitivity"),
            n=marked,
        ),
        Check(name=f"{named}, size of the bias", value=abs(float(errors.mean())), target=targets.get("bias"), **kept),
        Check(name=f"{named}, sd", value=float(errors.std()), target=targets["deviation"], **kept),
    ]


def _speed(recordings: list[Annotated]) -> Check:
    """Einthoven's R peaks and boundaries against NeuroKit2's by prominence, both on all leads at 500 Hz, in turns."""
    signal = np.stack([one.signal for one in recordings])
    few = to_twelve_leads(signal[:TIMED_RECORDS])
    seconds = in_turns(
        lambda _: _einthoven(signal, RATE_HZ),
        lambda _: [_neurokit_lead(lead, RATE_HZ, "prominence") for one in few for lead in one],
        repetitions=3,
    )
    ratio = rate_ratio(seconds[:, 0], len(signal), seconds[:, 1], len(few))
    return Check(
        name="recordings/s, all leads, over NeuroKit2 prominence",
        value=ratio.value,
        low=ratio.low,
        high=ratio.high,
        unit="×",
        target=20.0,
        n=len(signal),
    )


if __name__ == "__main__":
    main()
