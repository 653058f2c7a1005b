"""Data copying: SciPy's Mann-Whitney test, and planted copies, which distances of fidelity welcome."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from models.evaluation.fidelity import frechet_distance
from models.evaluation.memorisation import Memorisation, mann_whitney_deviate, memorisation


def judged(synthetic: np.ndarray, held_out: np.ndarray, training: np.ndarray) -> Memorisation:
    return memorisation(synthetic, held_out, training, np.arange(len(held_out) + len(synthetic)), 200, 1)


def test_the_deviate_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.4, 1, 60), rng.normal(size=80)
    found = mannwhitneyu(first, second, method="asymptotic", use_continuity=False)
    expected = norm.isf(found.pvalue / 2)
    assert mann_whitney_deviate(first, second) == pytest.approx(expected)
    assert mann_whitney_deviate(second, first) == pytest.approx(-expected)


def test_copies_are_found_though_they_bring_the_distributions_together() -> None:
    rng = np.random.default_rng(4)
    training, held_out, fresh = rng.normal(size=(1200, 6)), rng.normal(size=(400, 6)), rng.normal(size=(400, 6)) * 1.15
    honest = judged(fresh, held_out, training)
    assert abs(honest.statistic) < 3 and honest.near.low < 0.01 and honest.closer.low < 0.5
    copied = fresh.copy()
    copied[:40] = training[:40] + rng.normal(0, 0.01, (40, 6))
    found = judged(copied, held_out, training)
    assert frechet_distance(copied, held_out) < frechet_distance(fresh, held_out)
    assert found.near.low > 0.01 and found.near.value >= 0.1
    assert found.closer.value > honest.closer.value and found.statistic < honest.statistic
    all_copied = judged(training[:400] + rng.normal(0, 0.01, (400, 6)), held_out, training)
    assert all_copied.statistic < -3 and all_copied.closer.low > 0.9
    far = judged(fresh + 3, held_out, training)
    assert far.statistic > 3 and far.closer.high < 0.1


def test_too_few_rows_give_nothing() -> None:
    rows = np.random.default_rng(1).normal(size=(19, 3))
    found = judged(rows, rows, rows)
    assert np.isnan(found.statistic) and np.isnan(found.closer.value) and np.isnan(found.near.value)
