"""The audit: is a claim true of the recordings that it is about?

The test: the lower end of the 95 % Wilson interval of the share of recordings that satisfy the claim reaches
`min_support`. The interval counts patients, not recordings, since those of one patient are alike. As min_support is at
least one half, the group's median then satisfies the claim too. A claim about a feature that fewer than half of the
recordings were measured for is refuted whatever they show: PR intervals say little of a rhythm that mostly lacks P
waves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.evaluation.metrics import wilson
from tasks.knowledge.claims import Claim
from tasks.knowledge.evidence import Evidence, Share

Author = Literal["model", "evidence"]


@dataclass(frozen=True)
class Verdict:
    """The outcome for one claim.

    Attributes:
        claim: what was claimed.
        author: "model", or "evidence" for claims made from the evidence without a language model.
        support: share of the group's measured recordings that satisfy it.
        support_low: lower end of that share's 95 % interval.
        elsewhere: the share of all other training recordings; None where there are none.
        kept: whether the evidence supports it.
    """

    claim: Claim
    author: Author
    support: float
    support_low: float
    elsewhere: float | None
    kept: bool

    @property
    def distinction(self) -> float:
        """How much more often it is true here than elsewhere, from −1 to 1."""
        return self.support - (self.elsewhere or 0.0)


def audit(claim: Claim, evidence: Evidence, min_support: float, author: Author) -> Verdict:
    """Check a claim against the evidence."""
    here, elsewhere = evidence.share(claim), evidence.share(claim, of_rest=True)
    low = lower_end(here)
    return Verdict(
        claim=claim,
        author=author,
        support=here.share,
        support_low=low,
        elsewhere=elsewhere.share if elsewhere.recordings else None,
        kept=2 * here.recordings >= evidence.recordings and low >= min_support,
    )


def lower_end(share: Share) -> float:
    """Lower end of the 95 % interval of a share, counting patients; 0 where nothing was measured."""
    if not share.patients:
        return 0.0
    return wilson(share.share * share.patients, share.patients).low
