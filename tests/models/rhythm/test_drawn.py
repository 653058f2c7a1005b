"""Drawn rhythms: the rate asked for, the rhythm named, premature beats in their place, each row by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.rhythm.drawn import draw_rhythms
from models.rhythm.rhythm import (
    ATRIAL_PREMATURE,
    ESCAPE,
    FIBRILLATION,
    FLUTTER,
    P_WAVES,
    PACED,
    SINUS,
    VENTRICULAR_PREMATURE,
    Rhythm,
)
from models.rhythm.statistics import ECTOPIES, RHYTHMS, USUAL

DURATION_S = 10.0
ROWS = 300


def drawn(rhythm: str, ectopy: str = "none", rate: float | None = 70.0, rows: int = ROWS) -> Rhythm:
    rates = torch.full((rows,), torch.nan if rate is None else rate)
    asked = torch.full((rows,), RHYTHMS.index(rhythm)), torch.full((rows,), ECTOPIES.index(ectopy))
    return draw_rhythms(*asked, rates, USUAL, DURATION_S, torch.arange(rows))


def intervals(rhythm: Rhythm) -> list[np.ndarray]:
    """RR intervals of each row inside the recording, in seconds."""
    return [np.diff(row[(row >= 0) & (row < DURATION_S)]) for row in rhythm.r_times_s.double().numpy()]


def variability(rhythm: Rhythm) -> np.ndarray:
    return np.array([rr.std() / rr.mean() for rr in intervals(rhythm)])


@pytest.mark.parametrize("rhythm", RHYTHMS)
@pytest.mark.parametrize("ectopy", ECTOPIES)
def test_the_mean_rr_interval_is_that_of_the_rate_asked_for(rhythm: str, ectopy: str) -> None:
    for rate in (38.0, 71.5, 152.0):
        found = drawn(rhythm, ectopy, rate, 100)
        off = np.array([abs(60 / np.mean(rr) - rate) for rr in intervals(found)])
        # Where beats keep hopping over the edges the nearest mean is kept.
        assert np.mean(off > 0.1) <= 0.03
        times = found.r_times_s
        assert (times.diff(dim=1)[times.diff(dim=1).isfinite()] > 0).all()
        assert torch.equal(times.isfinite(), found.kinds >= 0)


@pytest.mark.parametrize("rhythm", ["sinus", "atrial fibrillation", "sinus tachycardia"])
def test_beats_fill_the_window_and_go_on_outside_of_it(rhythm: str) -> None:
    for rate in (40.0, 90.0, 220.0):
        times = drawn(rhythm, rate=rate).r_times_s
        longest = 2.5 * 60 / rate
        assert (times[:, 0] < longest).all()
        assert (times.nan_to_num(nan=-1.0).max(dim=1).values > DURATION_S - longest).all()
        assert times[:, 0].min() < 0
        assert times.nan_to_num(nan=-1.0).max() > DURATION_S


def test_fibrillation_is_irregular_from_beat_to_beat_and_sinus_rhythm_is_not() -> None:
    irregular, regular = drawn("atrial fibrillation", rate=90), drawn("sinus", rate=90)
    assert np.median(variability(irregular)) > 0.12
    assert np.quantile(variability(irregular), 0.1) > np.quantile(variability(regular), 0.9)
    assert (irregular.atrial == FIBRILLATION).all()
    assert (regular.atrial == P_WAVES).all()
    hz = irregular.atrial_rate_hz
    assert 4.0 <= hz.min() < 5.0 and 7.0 < hz.max() <= 9.0
    assert not regular.atrial_rate_hz.any()
    # Neighbouring intervals of fibrillation have nothing in common; sinus rhythm breathes.
    together = [np.corrcoef(rr[:-1], rr[1:])[0, 1] for rr in intervals(irregular)]
    assert np.mean(together) < 0.05 < np.mean([np.corrcoef(rr[:-1], rr[1:])[0, 1] for rr in intervals(regular)])


def test_flutter_conducts_a_whole_number_of_flutter_waves() -> None:
    for rate, ratio in ((75.0, 4), (97.0, 3), (150.0, 2)):
        found = drawn("atrial flutter", rate=rate)
        assert (found.atrial == FLUTTER).all()
        cycles = [rr * float(hz) for rr, hz in zip(intervals(found), found.atrial_rate_hz, strict=True)]
        assert max(np.abs(one - one.round()).max() for one in cycles) < 0.01
        assert np.median(np.concatenate(cycles).round()) == ratio
        assert np.mean([len(set(one.round())) == 1 for one in cycles]) > 0.5  # mostly a fixed block


@pytest.mark.parametrize(
    ("ectopy", "kind"),
    [("atrial premature beats", ATRIAL_PREMATURE), ("ventricular premature beats", VENTRICULAR_PREMATURE)],
)
def test_premature_beats_come_early_and_a_pause_follows(ectopy: str, kind: int) -> None:
    found = drawn("sinus", ectopy)
    share, coupling, pause = [], [], []
    for times, kinds in zip(found.r_times_s.numpy(), found.kinds.numpy(), strict=True):
        inside = (times >= 0) & (times < DURATION_S)
        early = (kinds == kind) & inside
        assert early.any()
        assert not (early[1:] & early[:-1]).any()
        share.append(early.sum() / inside.sum())
        rr = np.diff(times) / (60 / 70)
        coupling += rr[np.flatnonzero(early[1:])].tolist()
        pause += [one for one in rr[np.flatnonzero(early[:-1])] if np.isfinite(one)]
    expected = USUAL.ectopy[ectopy]
    assert expected.share[1] < np.median(share) < expected.share[3]
    assert np.median(coupling) == pytest.approx(expected.coupling[2], abs=0.04)
    assert np.median(pause) == pytest.approx(expected.pause[2], abs=0.06)
    assert np.quantile(coupling, 0.95) < 0.95


@pytest.mark.parametrize(("ectopy", "period"), [("bigeminy", 2), ("trigeminy", 3)])
def test_every_second_or_third_beat_is_ventricular(ectopy: str, period: int) -> None:
    found = drawn("sinus", ectopy)
    firsts = set()
    for kinds in found.kinds.numpy():
        places = np.flatnonzero(kinds == VENTRICULAR_PREMATURE)
        assert set(np.diff(places)) == {period}
        firsts.add(places[0])
    assert firsts == set(range(period))


def test_beats_are_of_the_rhythm_s_kind() -> None:
    for rhythm, kind in (("paced", PACED), ("escape", ESCAPE), ("sinus", SINUS)):
        kinds = drawn(rhythm).kinds
        assert set(kinds[kinds >= 0].tolist()) == {kind}
    assert 0.4 < (drawn("paced").atrial == P_WAVES).float().mean() < 0.6


@pytest.mark.parametrize("rhythm", ["sinus bradycardia", "supraventricular tachycardia", "atrial fibrillation"])
def test_a_rate_that_is_not_asked_for_is_the_rhythm_s(rhythm: str) -> None:
    rates = np.array([60 / np.mean(rr) for rr in intervals(drawn(rhythm, rate=None))])
    low, lower, median, upper, high = USUAL.rhythms[rhythm].heart_rate_bpm
    settled = (rates > low - 0.5) & (rates < high + 0.5)
    assert settled.mean() > 0.99
    assert np.quantile(rates, [0.25, 0.5, 0.75]) == pytest.approx([lower, median, upper], abs=0.15 * (high - low))


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    rows = 64
    seeds = torch.arange(1000, 1000 + rows)
    rhythm, ectopy = torch.arange(rows) % len(RHYTHMS), torch.arange(rows) // 3 % len(ECTOPIES)
    rates = torch.where(torch.arange(rows) % 4 == 0, torch.nan, torch.linspace(35, 180, rows))
    whole = draw_rhythms(rhythm, ectopy, rates, USUAL, DURATION_S, seeds)
    again = draw_rhythms(rhythm, ectopy, rates, USUAL, DURATION_S, seeds)
    for part in (slice(0, 1), slice(5, 8), slice(63, 64), slice(0, 64)):
        some = draw_rhythms(rhythm[part], ectopy[part], rates[part], USUAL, DURATION_S, seeds[part])
        for one, other, third in zip(
            vars(some).values(), vars(whole[part]).values(), vars(again[part]).values(), strict=True
        ):
            assert torch.equal(one.nan_to_num(), other.nan_to_num())
            assert torch.equal(other.nan_to_num(), third.nan_to_num())
    other_seeds = draw_rhythms(rhythm, ectopy, rates, USUAL, DURATION_S, seeds + 1)
    assert not torch.equal(other_seeds.r_times_s.nan_to_num(), whole.r_times_s.nan_to_num())


@pytest.mark.parametrize("rate", [15.0, 400.0])
def test_rates_that_no_heart_has_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="heart rates must be between"):
        drawn("sinus", rate=rate, rows=2)
