"""Drawn beats satisfy what is known of their condition, as often as real patients' beats do.

A claim says that a measured feature is above, below or between values. Several candidates are drawn for a row and
measured, and one of them is chosen with a chance proportional to exp(Σ λ_c s_c), where s_c is 1 if it satisfies claim
c of the row. The weights λ are those with which every claim is satisfied in its target share of the rows; of all ways
to choose that do so, this one departs least from the prior (the I-projection of Csiszár, Annals of Probability
3:146-158, 1975; raking in survey statistics). They are found once, on draws for the conditions in question, so that
what a row becomes still depends on the row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from torch import Tensor

from models import counter_random
from models.beats.beats import Beats
from models.beats.measured import measured_beats
from models.beats.prior import BeatPrior
from models.beats.rejection import Drawn, Rejection, draw_with_rejection
from models.conditioning import ConditionTensors
from models.ecg.measurements import LEAD_FEATURES
from models.ecg.qrs_shape import QRS_SHAPES
from models.evaluation.delivery import Comparison, satisfied
from models.evaluation.textbook_rules import COMBINED, feature_values

MEASURED: Final = frozenset(
    {"pr_ms", "qrs_ms", "qt_ms", "qtc_ms", "axis_deg", "p_present", *LEAD_FEATURES, *QRS_SHAPES, *COMBINED}
)
"""Features of a usual beat; rates and irregularity are of its rhythm, statements of its reader."""
CANDIDATES: Final = 8
LARGEST_WEIGHT: Final = 8.0
"""Of a claim: beyond it a target is as good as out of the candidates' reach."""
RIDGE: Final = 1e-3
"""Per row, so that claims that say the same share their weight."""


class Claim(Protocol):
    """What is read of a claim, for example `tasks.knowledge.claims.Claim` or a `TextbookRule`."""

    @property
    def feature(self) -> str: ...
    @property
    def lead(self) -> str | None: ...
    @property
    def comparison(self) -> Comparison: ...
    @property
    def value(self) -> float: ...
    @property
    def upper(self) -> float | None: ...


def of_beats(claim: Claim) -> bool:
    """Whether usual beats can be measured for a claim."""
    return claim.feature in MEASURED


def satisfies(beats: Beats, rr_s: Tensor, claims: Sequence[Claim]) -> np.ndarray:
    """Which beats satisfy which claims, (B, claims) bool; what cannot be measured satisfies none.

    Args:
        beats: of B rows, of which the usual ones are measured.
        rr_s: (B,) RR interval in seconds.
        claims: about features in `MEASURED`.

    Raises:
        ValueError: a claim is about something else.
    """
    if others := sorted({claim.feature for claim in claims if not of_beats(claim)}):
        raise ValueError(f"beats are not measured for {', '.join(others)}")
    measured = measured_beats(beats.usual.nan_to_num(), rr_s)
    found = [
        satisfied(feature_values(measured, claim.feature, claim.lead), claim.comparison, claim.value, claim.upper)
        for claim in claims
    ]
    return np.stack(found, axis=1) if found else np.zeros((len(beats), 0), dtype=bool)


def claim_weights(candidates: np.ndarray, asked: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weights λ with which the claims are satisfied in their target shares of the rows.

    The minimum of Σ_rows log Σ_k exp(λ · s_k) − λ · (target · rows asked), which is convex; its gradient is the
    expected number of rows that satisfy a claim less the wanted one.

    Args:
        candidates: (n, candidates, claims) bool, which satisfy which claims.
        asked: (n, claims) bool, which claims are of a row's condition.
        targets: (claims,) share of real patients with the condition who satisfy each.

    Returns:
        (claims,) within ± `LARGEST_WEIGHT`.
    """
    counted = (candidates & asked[:, None]).astype(np.float64)
    rows = np.maximum(asked.sum(axis=0), 1)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = counted @ weights
        expected = np.einsum("nk,nkc->c", softmax(scores, axis=1), counted)
        value = logsumexp(scores, axis=1).sum() - weights @ (targets * asked.sum(axis=0))
        ridge = RIDGE * rows * weights
        return float(value + 0.5 * ridge @ weights), expected - targets * asked.sum(axis=0) + ridge

    bounds = [(-LARGEST_WEIGHT, LARGEST_WEIGHT)] * len(targets)
    return np.asarray(minimize(loss, np.zeros(len(targets)), jac=True, bounds=bounds, method="L-BFGS-B").x)


@dataclass(frozen=True)
class ClaimSteering:
    """Draws beats that satisfy claims in their target shares.

    Attributes:
        prior, rejection: as for `draw_with_rejection`.
        claims: about usual beats.
        weights: (claims,) of each, from `claim_weights`.
    """

    prior: BeatPrior
    rejection: Rejection
    claims: Sequence[Claim]
    weights: np.ndarray

    @classmethod
    def calibrated(
        cls,
        prior: BeatPrior,
        rejection: Rejection,
        claims: Sequence[Claim],
        targets: np.ndarray,
        condition: ConditionTensors,
        seeds: Tensor,
        rr_s: Tensor,
        asked: np.ndarray,
    ) -> ClaimSteering:
        """Find the weights on draws for conditions such as those that will be asked for.

        Args:
            targets: (claims,) share of real patients who satisfy each.
            condition, seeds, rr_s, asked: as for `draw`; best rows of a seed that is used for nothing else.
        """
        unweighted = cls(prior, rejection, claims, np.zeros(len(claims)))
        rows = np.flatnonzero(asked.any(axis=1))
        chosen = torch.from_numpy(rows)
        _, found = unweighted._candidates(condition[chosen], seeds[chosen], rr_s[chosen], None)
        return cls(prior, rejection, claims, claim_weights(found, asked[rows], targets))

    def draw(
        self,
        condition: ConditionTensors,
        seeds: Tensor,
        rr_s: Tensor,
        asked: np.ndarray,
        has_ectopic: Tensor | None = None,
    ) -> Drawn:
        """Beats of conditions.

        Args:
            condition: of B rows.
            seeds: (B,) int64 row seeds.
            rr_s: (B,) RR interval in seconds.
            asked: (B, claims) bool, which claims are of a row's condition; a row without any is drawn once.
            has_ectopic: as for `BeatPrior.draw`.
        """
        first = draw_with_rejection(self.prior, self.rejection, condition, seeds, has_ectopic)
        rows = torch.from_numpy(np.flatnonzero(asked.any(axis=1))).to(seeds.device)
        if not len(rows):
            return first
        drawn, found = self._candidates(condition[rows], seeds[rows], rr_s[rows], first.beats.has_ectopic[rows])
        scores = torch.from_numpy((found & asked[rows.cpu().numpy()][:, None]) @ self.weights)
        # The largest of scores with Gumbel noise is a draw from their softmax.
        share = counter_random.uniform(seeds[rows].cpu(), "claims", (CANDIDATES,)).double()
        refused = torch.stack([one.refused for one in drawn], dim=1).cpu()
        scores = (scores - (-share.log()).log()).masked_fill(refused, -torch.inf)
        place = scores.argmax(dim=1).to(rows.device)
        usual, ectopic = first.beats.usual.clone(), first.beats.ectopic.clone()
        redraws, refusals = first.redraws.clone(), first.refused.clone()
        for number, one in enumerate(drawn):
            here = place == number
            at = rows[here]
            usual[at], ectopic[at] = one.beats.usual[here], one.beats.ectopic[here]
            redraws[at], refusals[at] = one.redraws[here], one.refused[here]
        return Drawn(Beats(usual, ectopic, first.beats.has_ectopic), redraws, refusals)

    def _candidates(
        self, condition: ConditionTensors, seeds: Tensor, rr_s: Tensor, has_ectopic: Tensor | None
    ) -> tuple[list[Drawn], np.ndarray]:
        """Candidates of each row, and which satisfy which claims, (B, CANDIDATES, claims)."""
        drawn = [
            draw_with_rejection(self.prior, self.rejection, condition, seeds, has_ectopic, candidate=number)
            for number in range(CANDIDATES)
        ]
        return drawn, np.stack([satisfies(one.beats, rr_s, self.claims) for one in drawn], axis=1)
