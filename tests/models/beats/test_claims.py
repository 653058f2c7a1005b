"""Claims about beats: measured, and satisfied by drawn beats as often as they are to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.beats.beats import Beats
from models.beats.claims import CANDIDATES, ClaimSteering, claim_weights, of_beats, satisfies
from models.beats.measured import measured_beats
from models.beats.prior import BeatPrior
from models.beats.rejection import draw_with_rejection
from models.evaluation.textbook_rules import TEXTBOOK_RULES
from tasks.knowledge.claims import Claim
from tests.models.beats.people import people
from tests.models.beats.test_recorded import USUAL, wave
from tests.models.beats.test_rejection import fitted

pytestmark = pytest.mark.usefixtures("one_thread")

LONG_PR = Claim(feature="pr_ms", comparison="above", value=200, unit="ms")
P_ABSENT = Claim(feature="p_present", comparison="absent", value=0)
WIDE_QRS = Claim(feature="qrs_ms", comparison="above", value=120, unit="ms")
HIGH_R = Claim(feature="r_amplitude_mv", lead="V5", comparison="above", value=3, unit="mV")
LEFT_AXIS = Claim(feature="axis_deg", comparison="below", value=-30, unit="degrees")
LOW_ST = Claim(feature="st_level_mv", lead="anterior", comparison="below", value=-0.1, unit="mV")
NEGATIVE_T = Claim(feature="t_amplitude_mv", lead="V3", comparison="below", value=0, unit="mV")


def test_beats_are_measured_for_claims() -> None:
    late_p = wave(0.15, -0.24, 0.02) - wave(0.15, -0.16, 0.02)
    only_v5 = torch.zeros(1, 8, 1)
    only_v5[0, 6] = 1.0
    only_ii = torch.zeros(1, 8, 1)
    only_ii[0, 1] = 1.0
    anterior = torch.zeros(1, 8, 1)
    anterior[0, 4:6] = 1.0  # V3 and V4
    cases = {
        LONG_PR: USUAL + late_p,
        P_ABSENT: USUAL - wave(0.15, -0.16, 0.02),
        WIDE_QRS: USUAL + wave(0.5, 0.05, 0.03),
        HIGH_R: USUAL + only_v5 * wave(2.0, 0.0, 0.012),
        LEFT_AXIS: USUAL - 2.5 * only_ii * wave(0.8, 0.0, 0.012),
        LOW_ST: USUAL - anterior * wave(0.25, 0.12, 0.04),
        NEGATIVE_T: USUAL - anterior * wave(0.5, 0.28, 0.05),
    }
    usual = torch.cat([USUAL, *cases.values()])
    beats = Beats(usual, torch.zeros_like(usual), torch.zeros(len(usual), dtype=torch.bool))
    found = satisfies(beats, torch.full((len(usual),), 0.85), list(cases))
    assert not found[0].any()
    assert found[1:].diagonal().all()


def test_other_claims_are_none_of_beats() -> None:
    rate = Claim(feature="heart_rate_bpm", comparison="above", value=100, unit="bpm")
    beats = people(2).beats
    assert not of_beats(rate) and not of_beats(Claim(feature="statement:SR", comparison="present", value=1))
    assert sum(of_beats(rule) for rule in TEXTBOOK_RULES) > 30
    with pytest.raises(ValueError, match="heart_rate_bpm"):
        satisfies(beats, torch.ones(2), [rate])
    assert satisfies(beats, torch.ones(2), []).shape == (2, 0)


def test_weights_give_the_target_shares_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    candidates = rng.random((4000, CANDIDATES, 3)) < np.array([0.3, 0.6, 0.5])
    asked = rng.random((4000, 3)) < np.array([1.0, 0.4, 1.0])
    weights = claim_weights(candidates, asked, np.array([0.8, 0.9, 0.5]))
    scores = (candidates & asked[:, None]) @ weights
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = (share[..., None] * candidates).sum(axis=1)
    for claim, target in enumerate((0.8, 0.9, 0.5)):
        assert expected[asked[:, claim], claim].mean() == pytest.approx(target, abs=0.01)
    assert abs(weights[2]) < 0.1  # satisfied as often as it is to be
    out_of_reach = claim_weights(np.zeros((50, CANDIDATES, 1), bool), np.ones((50, 1), bool), np.array([0.9]))
    assert np.isfinite(out_of_reach).all()


def high_r(prior: BeatPrior) -> Claim:
    """A claim that about three in ten draws of a prior satisfy."""
    beats = prior.draw(people(200, first=3).condition, torch.arange(10**6, 10**6 + 200))
    height = measured_beats(beats.usual, torch.full((200,), 0.8))["r_amplitude_mv"][:, 10]
    value = float(np.nanquantile(height, 0.7))
    return Claim(feature="r_amplitude_mv", lead="V5", comparison="above", value=value, unit="mV")


def test_drawn_beats_satisfy_claims_as_often_as_they_are_to() -> None:
    prior, rejection = fitted()
    claims = [high_r(prior)]
    condition, rr_s = people(240, first=4).condition, torch.full((240,), 0.8)
    asked = (np.arange(240) % 4 != 0)[:, None]
    calibration = torch.arange(240) + 10**9
    steering = ClaimSteering.calibrated(prior, rejection, claims, np.array([0.75]), condition, calibration, rr_s, asked)
    drawn = steering.draw(condition, torch.arange(240), rr_s, asked)
    plain = draw_with_rejection(prior, rejection, condition, torch.arange(240))
    before, after = (satisfies(one.beats, rr_s, claims)[asked[:, 0], 0].mean() for one in (plain, drawn))
    assert before < 0.4 and abs(after - 0.75) < 0.08
    assert not drawn.refused.any() and not rejection.rejected(drawn.beats).any()
    assert torch.equal(drawn.beats.usual[~asked[:, 0]], plain.beats.usual[~asked[:, 0]])
    assert torch.equal(drawn.beats.has_ectopic, plain.beats.has_ectopic)
    some = torch.tensor([7, 201, 8])
    alone = steering.draw(condition[some], some, rr_s[some], asked[some.numpy()])
    assert torch.equal(alone.beats.usual, drawn.beats.usual[some])
