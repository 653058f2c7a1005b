"""Does a model that is asked for somebody's own condition draw that person's beat?

People alike in condition are alike in beat, so that a beat drawn for somebody's condition is often near theirs. It is
theirs only if it is nearer to them than to other people of the same condition, whom the model has not seen.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final

import numpy as np

CONTROLS: Final = 50
"""People of the same condition that somebody is compared with; by chance one in 51 is nearest."""


def controls_of(
    conditions: Sequence[Hashable], pool: Sequence[Hashable], patients: np.ndarray, seed: int, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """People to compare with: for whom there are `CONTROLS` of the same condition, so many of them at random.

    Args:
        conditions: of those who are asked for, (n,).
        pool: conditions of recordings of people that the model has not seen, (m,).
        patients: (m,) patient of each; one recording of a patient is taken, at random.
        seed: of the choice.
        own: (n,) patient of each who is asked for; nobody is compared with themselves.

    Returns:
        Indices (kept,) of who has enough controls, and of their controls (kept, CONTROLS) in the pool.
    """
    rng = np.random.default_rng(seed)
    of_condition: dict[Hashable, dict[Any, int]] = {}
    for row in rng.permutation(len(pool)):
        of_condition.setdefault(pool[row], {}).setdefault(patients[row], row)
    kept, controls = [], []
    for row, condition in enumerate(conditions):
        others = [at for patient, at in of_condition.get(condition, {}).items() if patient != own[row]]
        if len(others) >= CONTROLS:
            kept.append(row)
            controls.append(rng.choice(others, CONTROLS, replace=False))
    return np.array(kept, np.int64), np.array(controls, np.int64).reshape(-1, CONTROLS)


def extracted(drawn: np.ndarray, own: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """(n,) bool: whose beat comes nearer to a draw for their condition than the beat of any control does.

    Args:
        drawn: (n, seeds, d) draws for each one's condition.
        own: (n, d) each one's own beat.
        controls: (n, CONTROLS, d).
    """
    everybody = np.concatenate([own[:, None], controls], axis=1)
    nearest = (
        np.stack(
            [
                np.linalg.norm(draws[:, None] - people[None], axis=2).min(axis=0)
                for draws, people in zip(drawn, everybody, strict=True)
            ]
        )
        if len(own)
        else np.empty((0, 1 + CONTROLS))
    )
    return nearest[:, 0] < nearest[:, 1:].min(axis=1)
