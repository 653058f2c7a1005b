"""Steering: drawn guides satisfy claims as often as they are to, each row by itself, with as few draws as it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.beats.rejection import Drawn
from models.flow.claims import measured_guides, satisfies
from models.flow.config import SteeringClaim
from models.flow.steering import CANDIDATES, Draw, claim_weights, fitted_weights, steered
from models.rhythm.rhythm import Rhythm
from tests.models.beats.test_recorded import USUAL
from tests.models.flow.test_claims import DURATION_S, guides

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS = 240
EVERYONE = np.ones(ROWS)


def claim(feature: str, value: float) -> SteeringClaim:
    above = {"statement": "NORM", "feature": feature, "comparison": "above", "value": value}
    return SteeringClaim(**above, share=0.5, patients=99, weight=0.0)  # type: ignore[arg-type]


LARGE, IRREGULAR = claim("limb_qrs_mv", 1.4), claim("rr_irregularity", 0.1)


class Drawing:
    """Draws beats whose size, and rhythms whose irregularity, is a function of the seed, and refuses some; counts."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, rows: torch.Tensor, seeds: torch.Tensor) -> tuple[Rhythm, Drawn]:
        self.drawn += len(rows)
        share = torch.stack([(seeds % 1009) / 1009, (seeds // 1009 % 1013) / 1013], dim=1).float()
        rhythm, beats = guides((0.5 + share[:, 0, None, None]) * USUAL)
        rhythm.r_times_s[:, ::2] += 0.4 * share[:, 1, None]
        refused = seeds % 10 == 3
        beats.usual[refused] = torch.nan
        return rhythm, Drawn(beats, torch.zeros(len(rows), dtype=torch.int64), refused)


def shares(rhythm: Rhythm, drawn: Drawn, rows: np.ndarray) -> np.ndarray:
    chosen = torch.from_numpy(np.flatnonzero(rows))
    return satisfies(measured_guides(rhythm[chosen], drawn.beats[chosen], DURATION_S), [LARGE, IRREGULAR]).mean(axis=0)


def calibrated(draw: Draw, targets: list[float], asked: np.ndarray) -> list[SteeringClaim]:
    claims = [LARGE, IRREGULAR]
    none = np.zeros(2)
    seeds = torch.arange(ROWS) * 7919 + 10**12
    found = fitted_weights(draw, claims, asked, EVERYONE, np.array(targets), none, seeds, DURATION_S)
    return [one.model_copy(update={"weight": float(weight)}) for one, weight in zip(claims, found, strict=True)]


def test_guides_satisfy_claims_as_often_as_they_are_to() -> None:
    draw, seeds = Drawing(), torch.arange(ROWS) * 104_729
    asked = np.stack([np.arange(ROWS) % 4 > 0, np.arange(ROWS) % 3 > 0], axis=1)
    claims = calibrated(draw, [0.8, 0.6], asked)
    plain = draw(torch.arange(ROWS), seeds)
    draw.drawn = 0
    rhythm, drawn, draws = steered(draw, claims, asked, seeds, DURATION_S)
    assert draw.drawn < 3.5 * ROWS
    for place, target in enumerate((0.8, 0.6)):
        rows = asked[:, place]
        before, after = (shares(*one, rows)[place] for one in (plain, (rhythm, drawn)))
        assert abs(before - target) > 0.12 and abs(after - target) < 0.08
    free = ~asked.any(axis=1)
    assert (draws[free] == 0).all() and set(draws[~free]) == set(range(1, CANDIDATES + 1))
    first = torch.from_numpy(draws <= 1)
    assert torch.equal(drawn.beats.usual[first].nan_to_num(), plain[1].beats.usual[first].nan_to_num())
    assert torch.equal(rhythm.r_times_s[first], plain[0].r_times_s[first])
    assert plain[1].refused.sum() > 20 and not drawn.refused[torch.from_numpy(~free)].any()
    some = torch.tensor([7, 201, 8, 139])
    alone = steered(lambda rows, of: draw(some[rows], of), claims, asked[some], seeds[some], DURATION_S)
    assert torch.equal(alone[1].beats.usual, drawn.beats.usual[some])
    assert torch.equal(alone[0].r_times_s, rhythm.r_times_s[some])
    assert (alone[2] == draws[some]).all()


def test_what_is_met_already_needs_no_weight_and_no_draw() -> None:
    draw, rows = Drawing(), torch.arange(60)
    asked, seeds = np.ones((60, 2), dtype=bool), rows * 104_729
    first = draw(rows, seeds)
    now = shares(*first, np.ones(60))
    given = np.ones(60), now, np.full(2, 0.1), seeds + 1, DURATION_S
    assert (fitted_weights(draw, [LARGE, IRREGULAR], asked, *given) == 0).all()
    draw.drawn = 0
    steered(draw, [LARGE, IRREGULAR], asked, seeds, DURATION_S)
    assert draw.drawn == 60 + int(first[1].refused.sum())


def test_weights_give_the_target_shares_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    candidates = rng.random((4000, CANDIDATES, 3)) < np.array([0.3, 0.6, 0.5])
    asked = rng.random((4000, 3)) < np.array([1.0, 0.4, 1.0])
    # A third of the rows stands for half of the people.
    importance = np.where(np.arange(4000) % 3, 1.0, 2.0)
    weights = claim_weights(candidates, asked, importance, np.array([0.55, 0.8, 0.52]), np.array([0.0, 0.02, 0.03]))
    scores = (candidates & asked[:, None]) @ weights
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = (share[..., None] * candidates).sum(axis=1)
    met = [np.average(expected[asked[:, one], one], weights=importance[asked[:, one]]) for one in range(3)]
    assert met[0] == pytest.approx(0.55, abs=0.005) and met[1] == pytest.approx(0.78, abs=0.005)
    assert weights[2] == 0
    out_of_reach = claim_weights(
        np.zeros((50, CANDIDATES, 1), bool), np.ones((50, 1), bool), np.ones(50), np.array([0.9]), np.zeros(1)
    )
    assert np.isfinite(out_of_reach).all()
