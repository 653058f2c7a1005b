"""Schedule, objective and solver against what is known in closed form."""

from __future__ import annotations

import pytest
import torch

from models.latent_diffusion.diffusion import (
    clean_estimate,
    initial_noise,
    noise_schedule,
    noise_to_signal,
    noised,
    signal_share,
    solve,
    solver_times,
    stratified_timesteps,
)
from tests.models.exact_denoisers import gaussian, one_point


def test_terminal_signal_to_noise_ratio_is_zero() -> None:
    share = signal_share(noise_schedule(), torch.tensor([0, 999]))
    assert float(share[1]) == 0.0
    assert float(share[0]) > 0.999


def test_clean_estimate_inverts_noising_at_every_noise_level() -> None:
    schedule = noise_schedule()
    torch.manual_seed(0)
    steps = torch.tensor([0, 10, 500, 998, 999])
    clean, noise = torch.randn(5, 8, 125), torch.randn(5, 8, 125)
    noisy, velocity = noised(schedule, clean, noise, steps)
    assert torch.allclose(clean_estimate(schedule, noisy, velocity, steps), clean, atol=1e-4)
    assert torch.equal(noisy[4], noise[4])


@pytest.mark.parametrize("steps", [1, 4, 16, 250])
def test_solver_reaches_the_data_of_an_exact_denoiser(steps: int) -> None:
    point = torch.full((3, 2, 5), 0.7)
    solved = solve(one_point(point), initial_noise([1, 2, 3], (2, 5)), steps)
    assert torch.allclose(solved, point, atol=1e-3)


@pytest.mark.parametrize(
    ("steps", "spread", "near"),
    [(6, 0.3, 0.09), (6, 0.5, 0.03), (6, 1.0, 0.03), (6, 2.0, 0.05), (16, 0.1, 0.02), (16, 0.5, 0.01), (16, 2.0, 0.01)],
)
def test_few_steps_keep_the_spread_of_gaussian_data(steps: int, spread: float, near: float) -> None:
    # With evenly spaced time steps six keep 0.72 of 0.3, and sixteen 0.67 of 0.1.
    noise = initial_noise(list(range(64)), (2, 100))
    assert float(solve(gaussian(spread), noise, steps).std() / noise.std()) == pytest.approx(spread, rel=near)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 16, 50, 51, 250, 1000])
def test_solver_times_descend_from_pure_noise(steps: int) -> None:
    alphas = noise_schedule().alphas_cumprod
    times = solver_times(steps)
    assert len(times) == steps and times[0] == 999 and times[-1] >= 0 and (times.diff() < 0).all()
    if 3 < steps <= 16:
        # From the second on, noise over signal falls by the same factor each time.
        fall = noise_to_signal(alphas)[times[1:]].log().diff()
        assert torch.allclose(fall, fall.mean(), rtol=0.15)


def test_noise_of_a_row_is_its_seeds_alone() -> None:
    together = initial_noise([5, 6, 7], (8, 125))
    assert torch.equal(together[1:2], initial_noise([6], (8, 125)))
    assert not torch.equal(together[0], together[1])
    assert float(together.std()) == pytest.approx(1.0, abs=0.05)


def test_timesteps_cover_the_schedule_evenly() -> None:
    torch.manual_seed(0)
    steps = stratified_timesteps(50)
    assert sorted((steps // 20).tolist()) == list(range(50))
    assert steps.tolist() != sorted(steps.tolist())
