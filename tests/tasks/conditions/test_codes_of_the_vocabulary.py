"""What names statements by code names those of the vocabulary."""

from __future__ import annotations

from models.evaluation.textbook_rules import TEXTBOOK_RULES
from tasks.conditions.coded_views import HEART_AXES
from tasks.conditions.condition import RHYTHM_PRIORITY, rhythm_of
from tasks.conditions.contradictions import P_WAVES
from tasks.evaluation.rows.independent_delineator import STATEMENTS as MEASURED
from tasks.knowledge.vocabulary import PACING, vocabulary
from tasks.simulation.simulated_patients import PRESENTATIONS, STATEMENTS
from warehouse.statements import statements


def test_codes_that_the_code_names() -> None:
    concepts = [concept for _, concept in vocabulary().wordings]
    asked = {code for one in concepts for code in (*one.asks, *one.excludes, *one.denies)}
    made = {code for one in PRESENTATIONS for code, _ in one.statements} | {
        code for one in PRESENTATIONS for code in one.sometimes
    }
    judged = {rule.statement for rule in TEXTBOOK_RULES}
    named = asked | made | judged | {*STATEMENTS, *PACING, *P_WAVES, *MEASURED}
    assert named <= statements().by_code.keys()
    assert made <= {*STATEMENTS}
    assert {one.axis for one in concepts} - {""} <= HEART_AXES.keys()


def test_statements_imply_rhythms() -> None:
    implied = {code: one.rhythm for code, one in statements().by_code.items() if one.rhythm}
    assert {*implied.values()} == {*RHYTHM_PRIORITY}
    assert all(rhythm_of([code]) == rhythm for code, rhythm in implied.items())
    assert rhythm_of(["SBRAD", "PVC", "AFLT"]) == "atrial fibrillation"
    assert rhythm_of(["NORM", "no such code"]) == "sinus"
