"""Shares of patients: nested, whole patients, and the ratio of two-sided tasks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.augmentation.shares import imbalanced_rows, share_of_patients

PATIENTS = np.repeat(np.arange(200), np.random.default_rng(1).integers(1, 4, 200))


def test_shares_of_one_seed_are_nested() -> None:
    held = [share_of_patients(PATIENTS, share, 3) for share in (0.003, 0.01, 0.1, 0.3, 1.0)]
    assert all((smaller <= larger).all() for smaller, larger in pairwise(held))
    assert [len(np.unique(PATIENTS[rows])) for rows in held] == [1, 2, 20, 60, 200]


def test_a_share_holds_all_recordings_of_its_patients() -> None:
    rows = share_of_patients(PATIENTS, 0.2, 3)
    assert not set(PATIENTS[rows]) & set(PATIENTS[~rows])


def test_seeds_draw_different_patients() -> None:
    one, other = (set(PATIENTS[share_of_patients(PATIENTS, 0.2, seed)]) for seed in (1, 2))
    # Independent draws of 40 of 200 share 8 on average.
    assert 0 < len(one & other) < 20


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 1\.5"):
        share_of_patients(PATIENTS, 1.5, 1)


@pytest.mark.parametrize("ratio", [10, 50])
def test_two_sided_tasks_keep_their_ratio(ratio: int) -> None:
    positive = np.random.default_rng(2).random(len(PATIENTS)) < 0.3
    rows = imbalanced_rows(positive, PATIENTS, ratio, seed=1)
    assert len(set(rows)) == len(rows)
    assert (~positive[rows]).sum() == ratio * positive[rows].sum() > 0
    assert (~positive).sum() - (~positive[rows]).sum() < ratio
