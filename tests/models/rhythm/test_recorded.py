"""Rhythms of recordings: what was drawn is found again in its ECG, and what cardiologists stated in real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.ecg.r_peaks import locate_r_peaks
from models.rhythm.drawn import draw_rhythms
from models.rhythm.fitting import fit_statistics
from models.rhythm.recorded import rhythm_of_recordings
from models.rhythm.rendering import render
from models.rhythm.rhythm import (
    ATRIAL_PREMATURE,
    FIBRILLATION,
    FLUTTER,
    NO_ATRIAL,
    P_WAVES,
    PACED,
    SINUS,
    VENTRICULAR_PREMATURE,
    Rhythm,
)
from models.rhythm.statistics import ECTOPIES, RHYTHMS, USUAL
from tests.models.rhythm.beats_of_text import textbook_beats
from warehouse.sources.ptbxl import PtbxlSource

RATE, SAMPLES, DURATION_S = 100, 1000, 10.0
ROWS = 60


def drawn(rhythm: str, ectopy: str = "none", rate: float = 72.0, rows: int = ROWS) -> Rhythm:
    asked = torch.full((rows,), RHYTHMS.index(rhythm)), torch.full((rows,), ECTOPIES.index(ectopy))
    return draw_rhythms(*asked, torch.full((rows,), rate), USUAL, DURATION_S, torch.arange(rows))


def ecg_of(rhythm: Rhythm) -> np.ndarray:
    signal = render(textbook_beats(len(rhythm)), rhythm, RATE, SAMPLES, torch.arange(len(rhythm))).numpy()
    return signal + np.random.default_rng(1).normal(0, 0.01, signal.shape).astype(np.float32)


def found_in(rhythm: Rhythm, pacemaker: bool = False) -> Rhythm:
    signal = ecg_of(rhythm)
    located = locate_r_peaks(signal, RATE)
    return rhythm_of_recordings(signal, located, RATE, np.full(len(rhythm), pacemaker))


def kinds_at_r_peaks(drawn_rhythm: Rhythm, found: Rhythm) -> np.ndarray:
    """(beats, 2) kinds of the beats well inside the window: drawn, and found at that time."""
    pairs = []
    for times, kinds, found_s, found_kinds in zip(
        *(one.numpy() for one in (drawn_rhythm.r_times_s, drawn_rhythm.kinds, found.r_times_s, found.kinds)),
        strict=True,
    ):
        for time_s, kind in zip(times, kinds, strict=True):
            if 0.3 < time_s < DURATION_S - 0.3:
                nearest = np.nanargmin(np.abs(found_s - time_s))
                pairs.append((kind, found_kinds[nearest] if abs(found_s[nearest] - time_s) < 0.06 else -1))
    return np.array(pairs)


@pytest.mark.parametrize(
    ("ectopy", "kind", "sensitivity"),
    [
        ("ventricular premature beats", VENTRICULAR_PREMATURE, 0.95),
        ("atrial premature beats", ATRIAL_PREMATURE, 0.75),
        ("bigeminy", VENTRICULAR_PREMATURE, 0.93),
        ("trigeminy", VENTRICULAR_PREMATURE, 0.95),
    ],
)
def test_premature_beats_are_found_again(ectopy: str, kind: int, sensitivity: float) -> None:
    rhythm = drawn("sinus", ectopy)
    of, got = kinds_at_r_peaks(rhythm, found_in(rhythm)).T
    assert (got[of == kind] == kind).mean() > sensitivity
    assert (got[of == SINUS] == SINUS).mean() > 0.97


@pytest.mark.parametrize(
    ("rhythm", "atrial", "share"),
    [
        ("sinus", P_WAVES, 0.95),
        ("atrial fibrillation", FIBRILLATION, 0.85),
        ("supraventricular tachycardia", NO_ATRIAL, 0.9),
    ],
)
def test_atrial_activity_is_found_again(rhythm: str, atrial: int, share: float) -> None:
    assert (found_in(drawn(rhythm)).atrial == atrial).float().mean() > share


def test_flutter_is_found_where_it_is_stated_and_its_rate_too() -> None:
    rhythm = drawn("atrial flutter")
    signal = ecg_of(rhythm)
    stated = np.arange(ROWS) % 2 == 0
    found = rhythm_of_recordings(signal, locate_r_peaks(signal, RATE), RATE, flutter=stated)
    assert (found.atrial[stated] == FLUTTER).all()
    assert (found.atrial_rate_hz - rhythm.atrial_rate_hz)[stated].abs().median() < 0.1


def test_beats_of_a_pacemaker_are_paced_and_ventricular_ones_on_demand() -> None:
    always = found_in(drawn("paced"), pacemaker=True).kinds
    assert set(always[always >= 0].tolist()) == {PACED}
    rhythm = drawn("sinus", "trigeminy")
    of, got = kinds_at_r_peaks(rhythm, found_in(rhythm, pacemaker=True)).T
    assert (got[of == VENTRICULAR_PREMATURE] == PACED).mean() > 0.9
    assert (got[of == SINUS] == SINUS).mean() > 0.9


def test_a_beat_beyond_either_edge_is_put_a_usual_interval_away() -> None:
    rhythm = drawn("sinus", rate=60.0, rows=8)
    found = found_in(rhythm)
    assert (found.r_times_s[:, 0] < 0).all()
    last = found.r_times_s.nan_to_num(nan=-1.0).max(dim=1).values
    assert (last >= DURATION_S).all()
    assert (found.r_times_s.diff(dim=1)[:, 0] - 1.0).abs().max() < 0.1


def test_recordings_without_beats_have_none() -> None:
    found = rhythm_of_recordings(np.zeros((2, 8, SAMPLES), np.float32), [np.empty(0), np.array([400.0])], RATE)
    assert found.r_times_s.isfinite().sum(dim=1).tolist() == [0, 1]
    assert found.atrial.tolist() == [NO_ATRIAL, NO_ATRIAL]
    assert len(rhythm_of_recordings(np.zeros((0, 8, SAMPLES), np.float32), [], RATE)) == 0


def test_statistics_of_recordings_are_those_they_were_drawn_from() -> None:
    parts = [("sinus", "none"), ("sinus", "ventricular premature beats"), ("atrial fibrillation", "none")]
    rhythms = [drawn(rhythm, ectopy, rate=72.0 + 10 * at, rows=40) for at, (rhythm, ectopy) in enumerate(parts)]
    whole = Rhythm(*(torch.cat([vars(one)[name] for one in rhythms]) for name in vars(rhythms[0])))
    stated = np.repeat([RHYTHMS.index(rhythm) for rhythm, _ in parts], 40)
    ectopy = np.repeat([ECTOPIES.index(name) for _, name in parts], 40)
    people = [str(row) for row in range(len(whole))]
    found = fit_statistics(whole, DURATION_S, stated, ectopy, people)
    fibrillation, premature = found.rhythms["atrial fibrillation"], found.ectopy["ventricular premature beats"]
    assert (fibrillation.patients, premature.patients) == (40, 40)
    assert fibrillation.heart_rate_bpm[2] == pytest.approx(92.0, abs=0.1)
    assert fibrillation.rr_variability[2] == pytest.approx(
        USUAL.rhythms["atrial fibrillation"].rr_variability[2], rel=0.25
    )
    expected = USUAL.ectopy["ventricular premature beats"]
    assert premature.coupling[2] == pytest.approx(expected.coupling[2], abs=0.06)
    assert premature.pause[2] == pytest.approx(expected.pause[2], abs=0.08)
    # Too few people say nothing.
    assert found.rhythms["paced"] == USUAL.rhythms["paced"]
    few = fit_statistics(whole, DURATION_S, stated, ectopy, [str(row % 5) for row in range(len(whole))])
    assert few == USUAL


def test_stated_rhythms_are_found_in_real_recordings(shared_data: Path) -> None:
    """Fold 9 of the subset; `python -m benchmarks.rhythm` measures every statement on all of it."""
    source = PtbxlSource(shared_data / "ptbxl")
    records = [one for one in source.records() if one.strat_fold == 9]
    signal = np.stack([source.read(one, RATE) for one in records])
    found = rhythm_of_recordings(signal, locate_r_peaks(signal, RATE), RATE)
    codes = [{code for code, _ in one.statements} for one in records]
    for stated, shown in (
        ({"PVC", "BIGU", "TRIGU"}, (found.kinds == VENTRICULAR_PREMATURE).any(dim=1)),
        ({"AFIB"}, found.atrial == FIBRILLATION),
    ):
        held = np.array([bool(stated & one) for one in codes])
        assert shown.numpy()[held].mean() > 0.8
        assert shown.numpy()[~held].mean() < 0.08


def test_premature_beats_are_found_at_500_hz_too() -> None:
    rhythm, rate = drawn("sinus", "ventricular premature beats", rows=20), 500
    signal = render(textbook_beats(20), rhythm, rate, 5000, torch.arange(20)).numpy()
    signal += np.random.default_rng(1).normal(0, 0.01, signal.shape).astype(np.float32)
    found = rhythm_of_recordings(signal, locate_r_peaks(signal, rate), rate)
    of, got = kinds_at_r_peaks(rhythm, found).T
    assert (got[of == VENTRICULAR_PREMATURE] == VENTRICULAR_PREMATURE).mean() > 0.95
    assert (got[of == SINUS] == SINUS).mean() > 0.97
    assert (found.atrial == P_WAVES).all()
