"""The benchmark of delineation counts beats and boundaries as it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import delineation
from benchmarks.delineation import _beats, _boundaries
from benchmarks.ludb import Annotated


def annotated(r_peaks_s: list[float]) -> Annotated:
    """A recording with P onset −0.18, QRS −0.04 to 0.05 and T offset 0.35 s from each R peak, the first P unmarked."""
    boundaries = np.asarray(r_peaks_s)[:, None] + np.array([-0.18, -0.04, 0.05, 0.35])
    boundaries[0, 0] = np.nan
    return Annotated(np.zeros((8, 5000)), np.asarray(r_peaks_s), boundaries, boundaries, 90.0, 140.0, 390.0)


def test_each_marked_beat_is_hit_once() -> None:
    one = annotated([1.0, 2.0, 3.0])
    found = np.array([0.2, 1.05, 1.06, 2.1, 3.0, 9.0])  # the outermost lie where nothing is marked
    sensitivity, precision, hits, marked, located = _beats([one], [(found, None)], 0.075)
    assert (hits, marked, located) == (2, 3, 4)
    assert (sensitivity, precision) == pytest.approx((2 / 3, 2 / 4))
    assert _beats([one], [(found, None)], 0.15)[2] == 3


def test_boundaries_are_compared_beat_by_beat() -> None:
    one = annotated([1.0, 2.0, 3.0])
    peaks = np.array([1.0, 2.0])  # the third beat is missed
    own = peaks[:, None] + np.array([-0.17, -0.04, 0.05, 0.65])
    errors = _boundaries([one], [(peaks, own)], "all leads")
    of_p, marked, absent, _ = errors["P onset"]
    assert of_p == pytest.approx([10.0]) and (marked, absent) == (2, 0)
    assert errors["QRS onset"][0] == pytest.approx([0.0, 0.0]) and errors["QRS onset"][1] == 3
    assert len(errors["T offset"][0]) == 0  # 300 ms late is another wave
    assert _boundaries([one], [(peaks, None)], "all leads") == {}
    one.boundaries_s[:, 0] = np.nan
    assert _boundaries([one], [(peaks, own)], "all leads")["P onset"][1:] == (0, 3, 2)


def test_a_delineator_that_is_never_wrong_meets_every_target(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delineation, "QUICK_RECORDS", 3)
    monkeypatch.setattr(delineation, "TIMED_RECORDS", 1)
    monkeypatch.setattr(delineation, "to_twelve_leads", lambda signal: signal[:, 1:2])  # one lead is enough to time
    marked = {one.signal.tobytes(): one for one in delineation.read_ludb(shared_data / "ludb", 3)}

    def oracle(signal: np.ndarray, rate_hz: int) -> delineation.Delineated:
        ones = list(marked.values()) if rate_hz == 100 else [marked[one.tobytes()] for one in signal]
        return [(one.r_peaks_s, one.boundaries_s) for one in ones]

    monkeypatch.setattr(delineation, "METHODS", {delineation.OWN: oracle})
    delineation.main(["--quick", "--data", str(shared_data / "ludb")], results=tmp_path)
    checks = {one["name"]: one for one in json.loads((tmp_path / "delineation-quick.json").read_text())["checks"]}
    assert len(checks) == 2 * (2 + 4 * 3) + 1
    held = [one for name, one in checks.items() if "NeuroKit2" not in name and one["target"] is not None]
    assert len(held) == 16 and all(one["met"] for one in held)
    assert checks["P onset, 500 Hz, sd"]["value"] == 0.0
