"""Everything stays on the device that the seeds are on: shown on the meta device, which refuses tensors of another."""

from __future__ import annotations

import pytest
import torch

from models.beats.beats import Beats
from models.rhythm import drawn
from models.rhythm.atrial_waves import atrial_waves
from models.rhythm.phase import PHASE_CHANNELS, phase_channels
from models.rhythm.rendering import sum_of_events
from models.rhythm.statistics import USUAL
from models.simulator.beat_events import EVENTS

ROWS, SAMPLES = 4, 500


def test_no_tensor_is_made_on_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whether a rate is refused is the one thing that is asked of values, which this device has none of.
    monkeypatch.setattr(drawn, "refuse_rates", lambda _: None)
    seeds = torch.zeros(ROWS, dtype=torch.int64, device="meta")
    rates = torch.zeros(ROWS, device="meta")
    rhythm = drawn.draw_rhythms(seeds, seeds, rates, USUAL, SAMPLES / 100, seeds)
    assert {value.device.type for value in vars(rhythm).values()} == {"meta"}
    amplitude = torch.zeros(ROWS, 8, len(EVENTS), device="meta")
    beats = Beats(amplitude, amplitude, torch.zeros(ROWS, dtype=torch.bool, device="meta"))
    chosen = torch.zeros_like(rhythm.kinds, dtype=torch.bool)
    ecg = sum_of_events(beats.usual, rhythm, chosen, rhythm.r_times_s, 100.0, SAMPLES)
    waves = atrial_waves(rhythm, torch.arange(SAMPLES, device="meta") / 100, seeds)
    assert ecg.device == waves.device == seeds.device
    assert ecg.shape == waves.shape == (ROWS, 8, SAMPLES)
    assert phase_channels(rhythm, 100.0, SAMPLES).shape == (ROWS, PHASE_CHANNELS, SAMPLES)
