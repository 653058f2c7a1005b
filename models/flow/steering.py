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
from dataclasses import fields
from typing import Final

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import logsumexp, softmax
from torch import Tensor

from models import counter_random
from models.beats.beats import Beats
from models.beats.rejection import Drawn
from models.flow.claims import Claim, measured_guides, satisfies
from models.flow.config import SteeringClaim
from models.rhythm.rhythm import Rhythm

CANDIDATES: Final = 4
"""Draws of a row at most; with eight, shares of drawn guides come 0.002 nearer to their targets at twice the time."""
LARGEST_WEIGHT: Final = 2.0
"""Of a claim: beyond it every row draws as often as it may for the few that a rare failure takes."""
RIDGE: Final = 1e-3
"""Per row, so that claims that say the same share their weight."""
SOLVER: Final = {"maxiter": 500, "ftol": 1e-9, "gtol": 1e-7}

Draw = Callable[[Tensor, Tensor], tuple[Rhythm, Drawn]]
"""Draws the guides of some rows, (n,) int64, from as many seeds."""


@torch.inference_mode()
def steered(
    draw: Draw, claims: Sequence[SteeringClaim], asked: np.ndarray, seeds: Tensor, duration_s: float
) -> tuple[Rhythm, Drawn, np.ndarray]:
    """Draw guides that satisfy claims in their target shares.

    Args:
        draw: draws guides; a row's depend on the row and its seed only. Refused ones are taken only if all are.
        claims: with their weights.
        asked: (B, claims) bool, which claims are of a row's condition; a row without any takes its first draw.
        seeds: (B,) int64 row seeds; the first draw of a row is from its own.
        duration_s: length of the recordings.

    Returns:
        Rhythm and beats, and which draw of a row they are, (B,) int64, from 1; 0 in rows without a claim.
    """
    weights = np.array([one.weight for one in claims])
    highest = asked @ np.maximum(weights, 0.0)
    rhythm, drawn = draw(torch.arange(len(seeds), device=seeds.device), seeds)
    draws = np.asarray(asked.any(axis=1).astype(np.int64))
    pending = np.flatnonzero(draws)
    if not len(pending):
        return rhythm, drawn, draws

    def scores(rhythm: Rhythm, drawn: Drawn, rows: np.ndarray) -> np.ndarray:
        found = satisfies(measured_guides(rhythm, drawn.beats, duration_s), claims) & asked[rows]
        return np.where(drawn.refused.cpu().numpy(), -np.inf, found @ weights)

    noise, further = _descending_gumbel(seeds), counter_random.further_seeds(seeds, "guides", CANDIDATES - 1)
    at = torch.from_numpy(pending).to(seeds.device)
    best = scores(rhythm[at], drawn[at], pending) + noise[pending, 0]
    number = 1
    while number < CANDIDATES:
        # What a row has is kept if no further draw can score more, even one that satisfies all claims.
        going = best < noise[pending, number] + highest[pending]
        pending, best = pending[going], best[going]
        if not len(pending):
            break
        # Twice as many draws every time, for ever fewer rows: networks see groups of one size anyway.
        numbers = np.arange(number, min(2 * number, CANDIDATES))
        rows, of_draw = np.tile(pending, len(numbers)), np.repeat(numbers, len(pending))
        at = torch.from_numpy(rows).to(seeds.device)
        others = draw(at, further[at, torch.from_numpy(of_draw - 1).to(seeds.device)])
        found = scores(*others, rows) + noise[rows, of_draw]
        source = found.reshape(len(numbers), -1).argmax(axis=0) * len(pending) + np.arange(len(pending))
        better = found[source] > best
        best = np.where(better, found[source], best)
        taken = source[better]
        draws[rows[taken]] = of_draw[taken] + 1
        _put(rhythm, rows[taken], others[0], taken)
        _put(drawn, rows[taken], others[1], taken)
        number += len(numbers)
    return rhythm, drawn, draws


def _put(into: Rhythm | Drawn | Beats, rows: np.ndarray, of: Rhythm | Drawn | Beats, source: np.ndarray) -> None:
    """Replace some rows by rows of others."""
    for field in fields(into):
        mine, theirs = getattr(into, field.name), getattr(of, field.name)
        if isinstance(mine, Beats):
            _put(mine, rows, theirs, source)
        else:
            mine[torch.from_numpy(rows).to(mine.device)] = theirs[torch.from_numpy(source).to(mine.device)]


def _descending_gumbel(seeds: Tensor) -> np.ndarray:
    """(B, CANDIDATES) standard Gumbel numbers, each row's in descending order."""
    share = counter_random.uniform(seeds, "claims", (CANDIDATES,)).cpu().double().numpy()
    return -np.sort(np.log(-np.log(share)), axis=1)


@torch.inference_mode()
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
    found = []
    for each in further.T.contiguous():
        rhythm, drawn = draw(rows, each)
        found.append(satisfies(measured_guides(rhythm, drawn.beats, duration_s), claims))
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
