"""The simulator's beats in coordinates: a change of basis, with components of the beat that amplitudes draw."""

from __future__ import annotations

import torch

from models.beat_events import EVENTS, event_shapes
from models.morphology import EventComponents


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
