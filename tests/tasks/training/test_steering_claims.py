"""Weights of claims: guides of a flow satisfy them as often as recordings do; few patients say nothing."""

from __future__ import annotations

import numpy as np
import torch

from models.flow.claims import measured_guides, satisfies
from models.flow.steering import steered
from models.rhythm.rhythm import P_WAVES
from tasks.conditions.criteria import RULES, Criterion
from tasks.settings import CohortSettings
from tasks.training.data.recorded import Recorded
from tasks.training.steering_claims import Examples, fitted_claims
from tests.models.flow.test_claims import HIGH_R, IRREGULAR, P_ABSENT
from tests.models.flow.test_generator import generator
from tests.models.test_conditioning import conditions

ROWS, DURATION_S = 90, 4.05
CLAIMS = [IRREGULAR.model_copy(update={"value": 0.02}), P_ABSENT, HIGH_R]
CRITERIA = [Criterion(RULES, "NORM", "", claim) for claim in CLAIMS]


def test_claims_are_satisfied_as_often_as_by_recordings() -> None:
    made, condition = generator(), conditions(ROWS)
    draw = made.drawing(condition, condition, CohortSettings().trait_guidance)
    rows = torch.arange(ROWS)
    # Recordings as the flow draws them, but every third is irregular, and P waves of two in three are gone.
    rhythm, drawn = draw(rows, rows + 10**6)
    rhythm.r_times_s[::3, ::2] += 0.3
    rhythm.atrial[rows % 3 > 0] = P_WAVES + 1
    recorded = Recorded(rhythm, drawn.beats, torch.ones(ROWS, dtype=torch.bool), rows)
    expected = np.ones((ROWS, 3), dtype=bool)
    expected[15:, 2] = False
    found = fitted_claims(made, CRITERIA, Examples(recorded, expected, condition, expected), 1)
    weights = {one.feature: one.weight for one in found}
    assert "r_amplitude_mv" not in weights  # of 15 patients only
    assert weights["rr_irregularity"] > 0 and all(one.patients == ROWS for one in found)
    asked = expected[:, : len(found)]
    free, taken = draw(rows, rows), steered(draw, found, asked, rows, DURATION_S)
    want, before, after = (
        satisfies(measured_guides(one[0], beats, DURATION_S), CLAIMS).mean(axis=0)
        for one, beats in (((rhythm,), drawn.beats), (free, free[1].beats), (taken, taken[1].beats))
    )
    assert abs(after[0] - want[0]) < abs(before[0] - want[0])
    few = Examples(recorded, expected[:, 2:], condition, expected[:, 2:])
    assert fitted_claims(made, CRITERIA[2:], few, 1) == ()
