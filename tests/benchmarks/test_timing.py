"""Timings in turns and their ratios."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.timing import in_turns, rate, rate_ratio


def test_works_take_turns_after_a_warm_up() -> None:
    calls: list[tuple[str, int]] = []
    seconds = in_turns(lambda k: calls.append(("one", k)), lambda k: calls.append(("two", k)), repetitions=3)
    assert seconds.shape == (3, 2) and (seconds >= 0).all()
    assert calls == [("one", -1), ("two", -1), ("one", 0), ("two", 0), ("two", 1), ("one", 1), ("one", 2), ("two", 2)]


def test_the_ratio_is_of_rates_within_a_turn() -> None:
    # The machine is three times slower in the second turn: for both, so the ratio does not see it.
    fast, slow = np.array([1.0, 3.0, 1.1]), np.array([2.0, 6.0, 2.2])
    found = rate_ratio(fast, 1000, slow, 10)
    assert found.value == pytest.approx(200.0) and found.low == pytest.approx(200.0)
    assert rate(fast, 1000).value == pytest.approx(1000 / 1.1)
    assert rate(fast, 1000).low < rate(fast, 1000).value < rate(fast, 1000).high
