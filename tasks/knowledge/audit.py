"""The audit: is a claim true of the recordings that it is about?

The test: at least `min_support` of the group's measured recordings satisfy the claim. Since min_support is at least one
half, the group's median then satisfies it too. A claim about a feature that fewer than half of the recordings were
measured for is refuted whatever they show: PR intervals say little of a rhythm that mostly lacks P waves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.knowledge.claims import Claim
from tasks.knowledge.evidence import Evidence


@dataclass(frozen=True)
class Verdict:
    """The outcome for one claim.

    Attributes:
        claim: what was claimed.
        author: "model", or "evidence" for claims made from the evidence without a language model.
        support: share of the group's measured recordings that satisfy it.
        elsewhere: the same share of all other training recordings; None where there are none.
        kept: whether the evidence supports it.
    """

    claim: Claim
    author: Literal["model", "evidence"]
    support: float
    elsewhere: float | None
    kept: bool

    @property
    def distinction(self) -> float:
        """How much more often it is true here than elsewhere, from −1 to 1."""
        return self.support - (self.elsewhere or 0.0)


def audit(claim: Claim, evidence: Evidence, min_support: float, author: Literal["model", "evidence"]) -> Verdict:
    """Check a claim against the evidence."""
    support, measured = evidence.share(claim)
    elsewhere, compared = evidence.share(claim, of_rest=True)
    return Verdict(
        claim=claim,
        author=author,
        support=support,
        elsewhere=elsewhere if compared else None,
        kept=2 * measured >= evidence.recordings and support >= min_support,
    )
