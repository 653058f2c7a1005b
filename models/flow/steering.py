"""Drawn guides satisfy what is known of their condition, as often as real patients' do.

Several guides (rhythm and beats) may be drawn for a row, and one of them is taken with a chance proportional to
exp(Σ λ_c s_c), where s_c is 1 if it satisfies claim c of the row. The weights λ are those with which every claim is
satisfied in its target share of the rows; of all ways to choose that do so, this one departs least from what is drawn
(the I-projection of Csiszár, Annals of Probability 3:146-158, 1975). A target is known to within a tolerance, and a
claim that is met within it has the weight 0 (Dudík, Phillips and Schapire, COLT 2004). Weights are found once, on draws
for the conditions in question, so that what a row becomes depends on the row alone.

Most rows need one draw or two: Gumbel noise is given to a row's draws from the largest to the smallest, and drawing
ends where no further draw can win (A* sampling: Maddison, Tarlow and Minka, NeurIPS 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import logsumexp, softmax
from torch import Tensor

from models import counter_random
from models.beats.beats import Beats
from models.flow.claims import Claim, measured_guides, satisfies
from models.flow.config import SteeringClaim
from models.rhythm.rhythm import Rhythm

CANDIDATES: Final = 8
"""Draws of a row at most."""
LARGEST_WEIGHT: Final = 4.0
"""Of a claim: beyond it a target is as good as out of the draws' reach."""
RIDGE: Final = 1e-3
"""Per row, so that claims that say the same share their weight."""
SOLVER: Final = {"maxiter": 500, "ftol": 1e-9, "gtol": 1e-7}

Draw = Callable[[Tensor, Tensor], tuple[Rhythm, Beats]]
"""Draws the guides of some rows, (n,) int64, from as many seeds."""


@dataclass(frozen=True)
class Steered:
    """Guides that were chosen.

    Attributes:
        rhythm, beats: of B rows.
        draws: (B,) int64, which draw of a row was taken, from 1; 0 in rows that no claim steers.
    """

    rhythm: Rhythm
    beats: Beats
    draws: np.ndarray


def steered(
    draw: Draw, claims: Sequence[SteeringClaim], asked: np.ndarray, seeds: Tensor, duration_s: float
) -> Steered:
    """Draw guides that satisfy claims in their target shares.

    Args:
        draw: draws guides; a row's depend on the row and its seed only.
        claims: with their weights.
        asked: (B, claims) bool, which claims are of a row's condition.
        seeds: (B,) int64 row seeds; the first guide of a row is the one that it has without claims.
        duration_s: length of the recordings.
    """
    weights = np.array([one.weight for one in claims])

    def score(rhythm: Rhythm, beats: Beats, rows: np.ndarray) -> np.ndarray:
        return (satisfies(measured_guides(rhythm, beats, duration_s), claims) & asked[rows]) @ weights

    everyone = np.arange(len(seeds))
    rhythm, beats = draw(torch.from_numpy(everyone).to(seeds.device), seeds)
    noise, further = _descending_gumbel(seeds), counter_random.further_seeds(seeds, "guides", CANDIDATES - 1)
    best = score(rhythm, beats, everyone) + noise[:, 0]
    highest = asked @ np.maximum(weights, 0.0)
    draws = np.asarray(asked.any(axis=1).astype(np.int64))
    drawn = 1
    while drawn < CANDIDATES:
        rows = np.flatnonzero(best < noise[:, drawn] + highest)
        if not len(rows):
            break
        # Twice as many every time: fewer rows are left, and networks see groups of one size.
        numbers = np.arange(drawn, min(2 * drawn, CANDIDATES))
        repeated, of_draw = np.tile(rows, len(numbers)), np.repeat(numbers, len(rows))
        at = torch.from_numpy(repeated).to(seeds.device)
        other_rhythm, other_beats = draw(at, further[at, torch.from_numpy(of_draw - 1).to(seeds.device)])
        found = score(other_rhythm, other_beats, repeated) + noise[repeated, of_draw]
        source = found.reshape(len(numbers), len(rows)).argmax(axis=0) * len(rows) + np.arange(len(rows))
        source = source[found[source] > best[rows]]
        taken = repeated[source]
        best[taken], draws[taken] = found[source], of_draw[source] + 1
        _put(rhythm, taken, other_rhythm, source)
        _put(beats, taken, other_beats, source)
        drawn += len(numbers)
    return Steered(rhythm, beats, draws)


def _put(into: Rhythm | Beats, rows: np.ndarray, of: Rhythm | Beats, source: np.ndarray) -> None:
    for field in fields(into):
        tensor = getattr(into, field.name)
        places, sources = (torch.from_numpy(one).to(tensor.device) for one in (rows, source))
        tensor[places] = getattr(of, field.name)[sources]


def _descending_gumbel(seeds: Tensor) -> np.ndarray:
    """(B, CANDIDATES) standard Gumbel numbers, each row's in descending order."""
    share = counter_random.uniform(seeds, "claims", (CANDIDATES,)).cpu().double().numpy()
    return -np.sort(np.log(-np.log(share)), axis=1)


def fitted_weights(
    draw: Draw,
    claims: Sequence[Claim],
    asked: np.ndarray,
    importance: np.ndarray,
    targets: np.ndarray,
    tolerance: np.ndarray,
    seeds: Tensor,
    duration_s: float,
) -> np.ndarray:
    """Weights of claims, found on draws for conditions such as those that will be asked for.

    Args:
        draw, asked, seeds, duration_s: as for `steered`; best seeds that are used for nothing else.
        claims: without weights.
        importance: (B,) how many conditions each row stands for.
        targets, tolerance: (claims,) as for `claim_weights`.

    Returns:
        (claims,).
    """
    rows = torch.arange(len(seeds), device=seeds.device)
    further = counter_random.further_seeds(seeds, "guides", CANDIDATES)
    found = [satisfies(measured_guides(*draw(rows, each), duration_s), claims) for each in further.T.contiguous()]
    return claim_weights(np.stack(found, axis=1), asked, importance, targets, tolerance)


def claim_weights(
    candidates: np.ndarray, asked: np.ndarray, importance: np.ndarray, targets: np.ndarray, tolerance: np.ndarray
) -> np.ndarray:
    """Weights λ with which claims are satisfied in their target shares of the rows, to within a tolerance.

    The minimum of Σ_rows w log Σ_k exp(λ · s_k) − λ · (target · n) + |λ| · (tolerance · n) with n = Σ_rows w asked,
    which is convex.

    Args:
        candidates: (n, candidates, claims) bool, which satisfy which claims.
        asked: (n, claims) bool, which claims are of a row's condition.
        importance: (n,) weight w of each row.
        targets: (claims,) share of real patients with the condition who satisfy each.
        tolerance: (claims,) how far from it a share may be.

    Returns:
        (claims,) within ± `LARGEST_WEIGHT`; 0 of claims that need none.
    """
    rows, count, size = candidates.shape
    counted = csr_array((candidates & asked[:, None]).reshape(-1, size).astype(np.float64))
    share_of = importance @ asked / importance.sum()
    part = importance[:, None] / importance.sum()

    def loss(halves: np.ndarray) -> tuple[float, np.ndarray]:
        up, down = halves.reshape(2, -1)
        weights = up - down
        scores = (counted @ weights).reshape(rows, count)
        expected = counted.T @ (softmax(scores, axis=1) * part).ravel()
        gradient = expected + share_of * (RIDGE * weights - targets)
        value = float(part[:, 0] @ logsumexp(scores, axis=1)) + float(
            share_of @ (0.5 * RIDGE * weights**2 - targets * weights + tolerance * (up + down))
        )
        return value, np.concatenate([gradient, -gradient]) + np.tile(share_of * tolerance, 2)

    bounds = [(0.0, LARGEST_WEIGHT)] * (2 * size)
    found = minimize(loss, np.zeros(2 * size), jac=True, bounds=bounds, method="L-BFGS-B", options=SOLVER)
    up, down = found.x.reshape(2, -1)
    return np.asarray(up - down)
