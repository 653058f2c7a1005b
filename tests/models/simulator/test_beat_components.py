"""The simulator's beats in coordinates: a change of basis, with components of the beat that amplitudes draw."""

from __future__ import annotations

import torch

from models.simulator.beat_components import EventComponents
from models.simulator.beat_events import EVENTS, event_shapes


def amplitudes(rows: int = 200, directions: int = 3) -> torch.Tensor:
    """(rows, 8, events) mV that differ between people in a few directions."""
    generator = torch.Generator().manual_seed(2)
    axes = 0.1 * torch.randn(directions, 8, len(EVENTS), generator=generator)
    mean = 0.2 * torch.randn(8, len(EVENTS), generator=generator)
    return mean + torch.einsum("nd,dle->nle", torch.randn(rows, directions, generator=generator), axes)


def test_coordinates_have_unit_variance_and_lead_back() -> None:
    amplitude, events = amplitudes(), EventComponents(3)
    events.fit(amplitude)
    coordinates = events.coordinates(amplitude)
    assert torch.allclose(coordinates.mean(dim=0), torch.zeros(3), atol=0.05)
    assert torch.allclose(coordinates.std(dim=0), torch.ones(3), atol=0.05)
    assert torch.allclose(torch.corrcoef(coordinates.T), torch.eye(3), atol=0.05)
    assert torch.allclose(events.nearest(amplitude), amplitude, atol=1e-3)


def test_components_are_those_of_the_beat_not_of_the_amplitudes() -> None:
    # Two neighbouring events that cancel are a large amplitude and a small beat.
    amplitude = torch.zeros(100, 8, len(EVENTS))
    generator = torch.Generator().manual_seed(3)
    cancelling, plain = torch.randn(2, 100, 1, generator=generator)
    amplitude[..., 14], amplitude[..., 15] = cancelling, -cancelling
    amplitude[..., 30] = plain
    events = EventComponents(1)
    events.fit(amplitude)
    shapes = event_shapes(torch.arange(-0.5, 0.75, 0.004), torch.tensor([0.8]))[0]
    kept = (events.nearest(amplitude) @ shapes).var() / (amplitude @ shapes).var()
    assert kept > 0.8
    assert torch.corrcoef(torch.stack([events.coordinates(amplitude)[:, 0], plain[:, 0]])).abs()[0, 1] > 0.95


def test_fewer_recordings_than_components_are_no_problem() -> None:
    amplitude, events = amplitudes(rows=5), EventComponents(16)
    events.fit(amplitude)
    assert torch.allclose(events.nearest(amplitude), amplitude, atol=1e-2)


def test_fine_components_have_a_common_size_that_is_a_coordinate() -> None:
    # In half of the people everything fine is ten times as large as in the others.
    amplitude, fine = amplitudes(400, directions=4), amplitudes(400, directions=24) * 0.05
    large = torch.arange(400) % 2 == 0
    amplitude = amplitude + fine * torch.where(large, 1.0, 0.1)[:, None, None]
    events = EventComponents(30)
    events.fit(amplitude)
    coordinates = events.coordinates(amplitude)
    assert coordinates.shape == (400, events.size) == (400, 31)
    assert coordinates[large, -1].min() > coordinates[~large, -1].max()
    # Without their size, the fine components of both are alike.
    ratio = coordinates[large, 8:-1].std() / coordinates[~large, 8:-1].std()
    assert 0.9 < ratio < 1.1
    assert (events.nearest(amplitude) - amplitude).abs().mean() < 0.005
    # And whatever size is drawn is the size of the beat.
    drawn = coordinates.clone()
    drawn[:, 8:-1] *= torch.rand(400, 1) + 0.5
    assert torch.allclose(events.amplitude(drawn), events.amplitude(coordinates), atol=1e-4)


def test_p_waves_count_more_than_their_power() -> None:
    generator = torch.Generator().manual_seed(4)
    amplitude = torch.zeros(200, 8, len(EVENTS))
    p_wave, t_wave = torch.randn(2, 200, 1, generator=generator)
    amplitude[..., 4], amplitude[..., -6] = 0.1 * p_wave, 0.1 * t_wave
    events = EventComponents(1)
    events.fit(amplitude)
    assert torch.corrcoef(torch.stack([events.coordinates(amplitude)[:, 0], p_wave[:, 0]])).abs()[0, 1] > 0.9
