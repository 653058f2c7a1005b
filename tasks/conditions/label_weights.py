"""How often each group is asked for, so that what recordings gave up is asked for as often as it is there.

A recording that gives up a statement stands in a group whose label lacks it, so that a cohort drawn by recordings alone
would show rare statements too seldom. Weights are therefore calibrated (raking; Deming and Stephan, Annals of
Mathematical Statistics 11:427, 1940; Deville and Särndal, JASA 87:376, 1992): groups of the same superclasses get the
share that recordings of these superclasses have, and those that ask for a statement together the share of that
statement, as far as no group's weight changes by more than a factor of `MOST` against others of its superclasses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

MOST: Final = 5.0
"""Largest factor by which calibration raises or lowers the weight of a group, so that few groups never make up most of
a statement's ECGs."""
ROUNDS: Final = 200


def calibrated(
    weights: np.ndarray,
    superclasses: Sequence[str],
    statements: Sequence[frozenset[str]],
    superclass_counts: Mapping[str, int],
    statement_counts: Mapping[str, int],
) -> np.ndarray:
    """Weights of groups under which superclasses and statements are as frequent as in the recordings.

    Args:
        weights: (groups,) recordings that each group stands for.
        superclasses: of each group, one name for its set.
        statements: of each group.
        superclass_counts: set of superclasses to its recordings; sets without a group are left out.
        statement_counts: statement to its recordings.

    Returns:
        (groups,) weights; those of one set of superclasses sum to its recordings.
    """
    of_set = {
        name: np.flatnonzero([one == name for one in superclasses])
        for name in superclass_counts
        if name in superclasses
    }
    holding = {code: np.array([code in one for one in statements], bool) for code in statement_counts}
    # Of a statement, recordings whose superclasses no group has cannot be asked for; few, so that counts may stay.
    holding = {code: held for code, held in holding.items() if held.any()}
    found = weights.astype(np.float64)
    for _ in range(ROUNDS):
        for code, held in holding.items():
            found[held] *= statement_counts[code] / found[held].sum()
        found = np.clip(found, weights / MOST, weights * MOST)
        for name, groups in of_set.items():
            found[groups] *= superclass_counts[name] / found[groups].sum()
    return found
