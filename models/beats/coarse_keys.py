"""Coarse keys: conditions say the band of an age and the heart rate to 5 bpm.

With exact numbers most conditions are held by one training patient alone, and a prior can learn whose beat is asked
for. What a beat looks like changes little within a band.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch

from models.conditioning import NUMBERS, ConditionTensors

AGE_BAND_EDGES_YEARS: Final = (20.0, 40.0, 60.0, 80.0)
"""As the bands of the knowledge base."""
AGE_BAND_STANDS_FOR_YEARS: Final = (10.0, 30.0, 50.0, 70.0, 85.0)
HEART_RATE_STEP_BPM: Final = 5.0


def with_coarse_keys(condition: ConditionTensors) -> ConditionTensors:
    """The same conditions with the middle of the age's band and the heart rate to `HEART_RATE_STEP_BPM`."""
    numbers = condition.numbers.clone()
    age, rate = NUMBERS.index("age_years"), NUMBERS.index("heart_rate_bpm")
    edges = numbers.new_tensor(AGE_BAND_EDGES_YEARS)
    band = (numbers[:, age, None] >= edges).sum(dim=1)
    numbers[:, age] = numbers.new_tensor(AGE_BAND_STANDS_FOR_YEARS)[band]
    numbers[:, rate] = torch.round(numbers[:, rate] / HEART_RATE_STEP_BPM) * HEART_RATE_STEP_BPM
    return replace(condition, numbers=numbers)
