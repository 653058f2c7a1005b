"""What a person asks for in words: the condition that one ECG is generated for."""

from __future__ import annotations

from tasks.conditions.condition import OLDEST_AGE, SEX_NUMBER, Condition, StatementFacts, by_importance
from tasks.conditions.statement_reader import StatementReader
from warehouse.errors import EinthovenError


class ConditionError(EinthovenError):
    """A request that no ECG can be generated for."""


def condition_from_text(
    text: str,
    age: float | None,
    sex: str | None,
    heart_rate: float | None,
    reader: StatementReader,
    statement_facts: StatementFacts,
) -> Condition:
    """The condition that a person asks for in free words.

    Args:
        text: e.g. "atrial fibrillation with inferior infarction"; phrases that name no statement still reach the model
            through the text.
        age: years, 0 to 120, or None.
        sex: "female" or "male", or None.
        heart_rate: beats per minute, 20 to 300, or None.
        reader: finds the statements that the text names.
        statement_facts: puts them in order of importance.

    Raises:
        ConditionError: a number is out of range, the sex is neither, or there is no text.
    """
    if not text.strip():
        raise ConditionError(
            "the text of the request is empty; say what the ECG should show, e.g. 'atrial fibrillation'"
        )
    if age is not None and not 0 <= age <= 120:
        raise ConditionError(f"age {age:g} is not between 0 and 120 years")
    if heart_rate is not None and not 20 <= heart_rate <= 300:
        raise ConditionError(f"heart rate {heart_rate:g} is not between 20 and 300 beats per minute")
    if sex is not None and sex.lower() not in SEX_NUMBER:
        raise ConditionError(f"sex {sex!r} is neither 'female' nor 'male', the two that the recordings know")
    return Condition(
        text=text.strip(),
        statements=by_importance(reader.read(text), statement_facts),
        age_years=None if age is None else min(age, OLDEST_AGE),
        sex=None if sex is None else sex.lower(),
        heart_rate_bpm=heart_rate,
    )
