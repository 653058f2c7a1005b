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


def test_a_statement_says_more_of_extra_beats_than_a_view() -> None:
    assert stated_rhythm(["BIGU"], extra_beats="ventricular")[1] == ECTOPIES.index("bigeminy")
    assert stated_rhythm(["SR"], extra_beats="ventricular")[1] == ECTOPIES.index("ventricular premature beats")
    assert stated_rhythm(["SR"], extra_beats="unspecified") == (0, 0)
