"""Counter-based random numbers: the published vectors, rows that depend on their seed only, the right distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtri
from scipy.stats import kstest

from models.counter_random import normal, philox, uniform

# Random123's `kat_vectors` for philox4x32 with 10 rounds: counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def _words(text: str) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor([int(word, 16)]) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter: str, key: str, result: str) -> None:
    assert philox(_words(counter), _words(key)) == _words(result)  # type: ignore[arg-type]


@pytest.mark.parametrize("numbers", [uniform, normal])
def test_a_number_depends_on_seed_purpose_and_index_only(numbers) -> None:  # type: ignore[no-untyped-def]
    seeds = torch.tensor([5, -3, 2**62, 5 + 2**32])
    large = numbers(seeds, "noise", (8, 37))
    for row, seed in enumerate(seeds):
        assert torch.equal(numbers(seed[None], "noise", (8, 37))[0], large[row])
    assert torch.equal(numbers(seeds.flip(0), "noise", (5,)), large.flatten(1)[:, :5].flip(0))
    assert len({tuple(row.flatten()[:4].tolist()) for row in large}) == len(seeds)
    assert not torch.equal(numbers(seeds, "beats", (8, 37)), large)


def test_batches_beyond_what_is_made_at_once() -> None:
    seeds = torch.arange(70)
    assert torch.equal(normal(seeds, "noise", (1001,))[69], normal(seeds[69:], "noise", (1001,))[0])


def test_distributions() -> None:
    shares = uniform(torch.arange(200), "test", (500,)).flatten().double().numpy()
    values = normal(torch.arange(200), "test", (500,)).flatten().double().numpy()
    assert kstest(shares, "uniform").pvalue > 0.01
    assert kstest(values, "norm").pvalue > 0.01
    assert shares.min() > 0 and shares.max() < 1
    # Neighbouring rows, indices and purposes have nothing in common.
    other = normal(torch.arange(200), "other", (500,)).flatten().numpy()
    assert max(abs(np.corrcoef(values[:-1], values[1:])[0, 1]), abs(np.corrcoef(values, other)[0, 1])) < 0.01
    assert abs(np.corrcoef(values[500:], values[:-500])[0, 1]) < 0.01


def test_normal_numbers_are_the_quantiles_of_the_uniform_ones() -> None:
    seeds = torch.arange(64)
    expected = ndtri(uniform(seeds, "test", (1000,)).double().numpy())
    assert np.abs(normal(seeds, "test", (1000,)).numpy() - expected).max() < 3e-6


def test_stored_bits() -> None:
    """The bits that a seed stands for stay what they are: releases are drawn again from their seeds."""
    bits = normal(torch.tensor([7]), "test", (6,)).view(torch.int32)[0].tolist()
    assert bits == [1024251026, -1069641941, 1066421268, 1071982512, 1066104705, 1047982607]
