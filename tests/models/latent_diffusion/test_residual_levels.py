"""Levels: what they measure, and that differences are brought to them."""

from __future__ import annotations

import math

import pytest
import torch

from models.latent_diffusion.residual_levels import BAND_EDGES_HZ, CORRECTION, EXAGGERATED, FURTHEST, Levels, told

STEP_HZ = 12.5
CHANNELS = 8


def differences(rows: int = 200, steps: int = 125, spread: float = 0.4) -> torch.Tensor:
    """Noise (rows, CHANNELS, steps) that is louder in some rows than in others."""
    generator = torch.Generator().manual_seed(1)
    gain = (spread * torch.randn(rows, CHANNELS, 1, generator=generator)).exp()
    return gain * torch.randn(rows, CHANNELS, steps, generator=generator)


def fitted() -> Levels:
    levels = Levels(CHANNELS, STEP_HZ)
    levels.fit(levels.of(differences()))
    return levels


def test_a_tone_has_its_level_in_its_band_and_a_doubled_one_log_two_more() -> None:
    levels, seconds = Levels(CHANNELS, STEP_HZ), torch.arange(125) / STEP_HZ
    tone = torch.sin(2 * math.pi * 2.4 * seconds).expand(1, CHANNELS, -1)
    found = levels.of(tone).unflatten(1, (CHANNELS, -1))[0]
    assert found.shape[1] == len(BAND_EDGES_HZ) - 1
    assert (found.argmax(dim=1) == 2).all()
    doubled = levels.of(2 * tone).unflatten(1, (CHANNELS, -1))[0]
    assert torch.allclose(doubled[:, 2] - found[:, 2], torch.full((CHANNELS,), math.log(2)), atol=1e-4)


def test_coordinates_have_unit_variance_and_are_uncorrelated() -> None:
    levels = Levels(CHANNELS, STEP_HZ)
    found = levels.of(differences())
    levels.fit(found)
    coordinates = levels.coordinates(found)
    assert torch.allclose(coordinates.std(dim=0), torch.ones(levels.size), atol=0.05)
    assert torch.allclose(torch.corrcoef(coordinates.T), torch.eye(levels.size), atol=0.1)
    assert (levels.spread.diff() <= 1e-6).all()


def test_what_is_lacking_is_found_and_given_to_all_alike() -> None:
    levels, difference = fitted(), differences(spread=0.3)
    coordinates = levels.coordinates(levels.of(difference))
    quiet = 0.7 * difference
    lacking = levels.lacking(quiet, coordinates)
    assert torch.allclose(lacking, torch.full((levels.size,), -math.log(0.7)), atol=0.03)
    restored = levels.louder(quiet, lacking)
    assert (restored - difference).abs().mean() < 0.05 * difference.abs().mean()
    assert torch.allclose(levels.louder(quiet[:1], lacking), restored[:1], atol=1e-5)


def test_a_band_is_made_louder_by_itself() -> None:
    levels, difference = fitted(), differences(rows=50)
    correction = torch.zeros(CHANNELS, len(BAND_EDGES_HZ) - 1)
    correction[2, 3] = 0.5
    change = (levels.of(levels.louder(difference, correction.flatten())) - levels.of(difference)).mean(dim=0)
    assert change.view(CHANNELS, -1)[2, 3] == pytest.approx(0.5, abs=0.1)
    assert change.view(CHANNELS, -1)[2, :2].abs().max() < 0.1
    assert change.view(CHANNELS, -1)[[0, 1, 3]].abs().max() < 1e-3


def test_no_correction_is_larger_than_allowed() -> None:
    levels = fitted()
    quiet = torch.zeros(3, CHANNELS, 125)
    lacking = levels.lacking(quiet, torch.zeros(3, levels.size))
    assert (lacking == CORRECTION).all()
    assert torch.isfinite(levels.louder(quiet, lacking)).all()


def test_coarse_latents_have_fewer_bands() -> None:
    assert Levels(CHANNELS, 6.25).size == 3 * CHANNELS
    levels = Levels(CHANNELS, 6.25)
    assert torch.isfinite(levels.of(differences(steps=63))).all()


def test_what_is_told_is_further_from_the_mean_but_not_beyond_what_training_showed() -> None:
    drawn = torch.tensor([[-3.0, -0.4, 0.0, 1.0]])
    further = torch.tensor([[-FURTHEST, -0.4 * EXAGGERATED, 0.0, EXAGGERATED]])
    assert torch.equal(told(drawn, simulated_ecg=True), further)  # type: ignore[arg-type]
    assert told(drawn, simulated_ecg=False) is drawn
    assert told(None, simulated_ecg=True) is None
