"""What statements imply about when hearts beat."""

from __future__ import annotations

import pytest

from models.rhythm.statistics import ECTOPIES, RHYTHMS
from tasks.conditions.stated_rhythm import stated_rhythm


@pytest.mark.parametrize(
    ("statements", "rhythm", "ectopy"),
    [
        ([], "sinus", "none"),
        (["NORM", "SR"], "sinus", "none"),
        (["IMI", "AFIB", "PVC"], "atrial fibrillation", "ventricular premature beats"),
        (["AFLT"], "atrial flutter", "none"),
        (["PVC", "BIGU", "SR"], "sinus", "bigeminy"),
        (["AFIB", "PACE"], "paced", "none"),
        (["PAC", "SBRAD"], "sinus bradycardia", "atrial premature beats"),
    ],
)
def test_statements_imply_a_rhythm_and_premature_beats(statements: list[str], rhythm: str, ectopy: str) -> None:
    assert stated_rhythm(statements) == (RHYTHMS.index(rhythm), ECTOPIES.index(ectopy))
