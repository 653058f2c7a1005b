"""What a person asks for in words: the condition of one ECG, or one line that says why there is none.

The words themselves never reach the model. An embedding of "no ST elevation" is near that of "ST elevation", so the
text of a condition is written from what was understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

from tasks.conditions.coded_views import HEART_AXES, INFARCTION_STAGES, LIKELY_PERCENT
from tasks.conditions.condition import OLDEST_AGE, SEX_NUMBER, Condition, StatementFacts, by_importance, describe
from tasks.conditions.contradictions import AXIS_OF_FASCICULAR_BLOCK, exclusive, possible_rates
from tasks.conditions.reading.numbers import Rate
from tasks.conditions.reading.reader import MAY_BE_NORMAL, Reading, Refusal, StatementReader
from tasks.knowledge.vocabulary import names_of
from warehouse.errors import EinthovenError

EXAMPLES: Final = "'atrial fibrillation at 120 bpm', '72-year-old woman with LBBB', 'LVH without ST depression'"
AGES: Final = (0, 120)
RATE_BPM: Final = (20, 250)
"""What rhythms can be drawn at (`models.rhythm.drawn`)."""
LONGEST: Final = 500
"""Characters of a request."""
NEAREST: Final = 3
"""Names that a refusal suggests."""
LIKE: Final = 0.6
"""Share of letters in common (Ratcliff and Obershelp) from which a name is suggested."""


class ConditionError(EinthovenError):
    """A request that no ECG can be generated for."""


class NotUnderstoodError(ConditionError):
    """Words that have no meaning here, or one that no statement holds."""


class ContradictionError(ConditionError):
    """A request for two things that exclude each other."""


class AmbiguousRequestError(ConditionError):
    """A request that can be read in two ways, one the opposite of the other."""


@dataclass(frozen=True)
class UnderstoodRequest:
    """A request as it was understood.

    Attributes:
        reading: what its words say.
        condition: what the ECG is generated for.
        added: statements of the condition that were not asked for.
    """

    reading: Reading
    condition: Condition
    added: tuple[str, ...]

    def lines(self, statement_facts: StatementFacts) -> list[str]:
        """What was understood, for the person who asked."""
        reading, condition = self.reading, self.condition

        def named(codes: Sequence[str]) -> str:
            return ", ".join(f"{describe(code, statement_facts)} ({code})" for code in codes)

        numbers = [
            f"{condition.heart_rate_bpm:.0f} bpm" if condition.heart_rate_bpm is not None else "",
            f"{condition.age_years:g} years" if condition.age_years is not None else "",
            condition.sex or "",
            HEART_AXES.get(condition.heart_axis or "", ""),
            *(
                f"{code}: {INFARCTION_STAGES[stage]}"
                for code, stage in reading.stages.items()
                if stage in INFARCTION_STAGES
            ),
        ]
        why = "so that nothing excluded is shown" if reading.excluded else "nothing else is asked for"
        said = {
            "asked": named(reading.asked) or "nothing by name",
            "probable": named(reading.probable),
            "excluded": ", ".join(reading.excluded_names)
            + (f" ({', '.join(reading.excluded)})" if reading.excluded else ""),
            "numbers": ", ".join(filter(None, numbers)),
            "added": f"{named(self.added)}: {why}" if self.added else "",
            "not drawn": ", ".join(
                [f"'{words}' (statements have no degrees)" for words in reading.degrees]
                + [f"{describe(code, statement_facts)} in the past" for code in reading.history]
            ),
        }
        return [f"{name}: {what}" for name, what in said.items() if what]


def understand(
    text: str,
    age: float | None,
    sex: str | None,
    heart_rate: float | None,
    reader: StatementReader,
    statement_facts: StatementFacts,
) -> UnderstoodRequest:
    """What a person asks for in free words and numbers.

    Args:
        text: e.g. "72-year-old woman, atrial fibrillation at 120 bpm, no ST depression".
        age: years, 0 to 120, or None.
        sex: "female" or "male", or None.
        heart_rate: beats per minute, 20 to 250, or None.
        reader: reads the text.
        statement_facts: the statements that the model knows.

    Raises:
        ConditionError: something is not understood, contradictory, ambiguous or out of range; one line says what.
    """
    if not text.strip():
        raise ConditionError(
            "the text of the request is empty; say what the ECG should show, e.g. 'atrial fibrillation'"
        )
    if len(text) > LONGEST:
        raise ConditionError(f"the text of the request has {len(text)} characters; say it in at most {LONGEST}")
    reading = reader.read(text)
    if reading.empty:
        raise NotUnderstoodError(f"not understood: '{text.strip()}' says nothing of an ECG; ask e.g. {EXAMPLES}")
    _refuse_words(reading, statement_facts)
    age = _one("age", [*reading.ages, *([] if age is None else [age])], "years")
    sex = _one("sex", [*reading.sexes, *([] if sex is None else [sex.lower()])], "")
    _check_ranges(age, sex, heart_rate)
    _check_statements(reading, statement_facts)
    rate = _asked_rate(reading, heart_rate)
    statements, added = _completed(reading, rate, statement_facts)
    condition = Condition(
        text="",
        statements=(ordered := by_importance(statements, statement_facts)),
        age_years=None if age is None else min(age, OLDEST_AGE),
        sex=sex,
        heart_rate_bpm=_heart_rate(rate, statements, statement_facts),
        likelihoods=tuple(_likelihood(code, reading) for code in ordered),
        heart_axis=_axis(reading),
        infarction_stage=next((one for one in reading.stages.values() if one in INFARCTION_STAGES), None),
        # Where PTB-XL states ventricular extra beats, it nearly always codes them too; others it rarely codes.
        extra_beats="ventricular" if "PVC" in statements else None,
    )
    return UnderstoodRequest(reading, condition.written(statement_facts), added)


def _axis(reading: Reading) -> str | None:
    """The heart axis asked for; the normal one where only others are excluded."""
    if reading.axes:
        return reading.axes[0]
    return "MID" if reading.not_axes and "MID" not in reading.not_axes else None


def _likelihood(code: str, reading: Reading) -> float | None:
    """The likelihood in percent that a word of doubt stands for; None for what is certain."""
    if code not in reading.probable:
        return None
    return LIKELY_PERCENT["probable" if code in reading.likely else "possible"]


def _refuse_words(reading: Reading, statement_facts: StatementFacts) -> None:
    if reading.not_understood:
        raise NotUnderstoodError("; ".join(_refused(one, statement_facts) for one in reading.not_understood))
    if reading.leads:
        raise NotUnderstoodError(
            f"cannot be asked for: '{reading.leads[0]}', since statements name no leads; name the wall instead, e.g. "
            f"'ischemia of the inferior wall' or 'anteroseptal infarction'"
        )
    if reading.ambiguous:
        words = "', '".join(reading.ambiguous)
        raise AmbiguousRequestError(
            f"ambiguous: '{words}' can be read as asked for and as excluded or as one of two; write 'A with B', "
            f"'A; no B' or 'no A or B'"
        )
    if reading.history and not (reading.asked or reading.probable or reading.excluded or reading.rates):
        past = ", ".join(describe(code, statement_facts) for code in reading.history)
        raise NotUnderstoodError(
            f"not understood: a history of {past} does not say what the ECG shows; ask for '{past}' or for an old "
            f"infarction, or leave it out"
        )


def _refused(refusal: Refusal, statement_facts: StatementFacts) -> str:
    if refusal.known and refusal.hint:
        return f"cannot be asked for: '{refusal.words}'; {refusal.hint}"
    if refusal.known:
        nearest = _nearest(refusal.words, statement_facts)
        return f"cannot be asked for: '{refusal.words}' is no statement of the recordings; {nearest}"
    if refusal.hint:
        return f"not understood: '{refusal.words}'; {refusal.hint}"
    return f"not understood: '{refusal.words}'; {_nearest(refusal.words, statement_facts)}"


def _nearest(words: str, statement_facts: StatementFacts) -> str:
    """Names of statements that are spelled most like some words; where none is like them, what can be asked for."""
    best: dict[str, float] = {}
    for code in statement_facts:
        described = describe(code, statement_facts)
        for name in names_of(code, described):
            likeness = SequenceMatcher(None, words.lower(), name.lower()).ratio()
            best[described] = max(likeness, best.get(described, 0))
    near = sorted((name for name in best if best[name] >= LIKE), key=lambda name: (-best[name], name))[:NEAREST]
    named = ", ".join(f"'{name}'" for name in near)
    return f"nearest: {named}" if near else f"ask for SCP-ECG statements of PTB-XL in words, e.g. {EXAMPLES}"


def _one(what: str, said: Sequence[float | str], unit: str) -> Any:
    different = list(dict.fromkeys(said))
    if len(different) > 1:
        each = " and ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in different)
        raise ContradictionError(f"contradictory: the {what} is given as {each} {unit}".rstrip() + "; give one")
    return different[0] if different else None


def _check_ranges(age: float | None, sex: str | None, heart_rate: float | None) -> None:
    if age is not None and not AGES[0] <= age <= AGES[1]:
        raise ContradictionError(f"age {age:g} is not between {AGES[0]} and {AGES[1]} years")
    if heart_rate is not None and not RATE_BPM[0] <= heart_rate <= RATE_BPM[1]:
        raise ConditionError(
            f"heart rate {heart_rate:g} is not between {RATE_BPM[0]} and {RATE_BPM[1]} beats per minute"
        )
    if sex is not None and sex not in SEX_NUMBER:
        raise ConditionError(f"sex {sex!r} is neither 'female' nor 'male', the two that the recordings know")


def _check_statements(reading: Reading, statement_facts: StatementFacts) -> None:
    shown = (*reading.asked, *reading.probable)
    if both := [code for code in shown if code in reading.excluded]:
        named = ", ".join(describe(code, statement_facts) for code in both)
        raise ContradictionError(f"contradictory: {named} is asked for and excluded")
    if pair := exclusive(shown):
        one, other = (describe(code, statement_facts) for code in pair)
        raise ContradictionError(f"contradictory: one ECG does not show both {one} and {other}; ask for one")
    if len(set(reading.stages.values())) > 1:
        named = " and ".join(
            INFARCTION_STAGES.get(stage, "unknown") for stage in dict.fromkeys(reading.stages.values())
        )
        raise ContradictionError(f"contradictory: a condition has one infarction stage, not {named}; ask for one")
    if "MID" in reading.not_axes and not reading.axes:
        raise NotUnderstoodError("not understood: the heart axis is not to be normal, but where is it? Ask for it")
    if len(reading.axes) > 1 or set(reading.axes) & set(reading.not_axes):
        named = " and ".join(HEART_AXES[axis] for axis in (*reading.axes, *reading.not_axes))
        raise ContradictionError(f"contradictory: the heart axis is given as {named}; give one")
    for code, axes in AXIS_OF_FASCICULAR_BLOCK.items():
        if code in shown and set(reading.axes) & set(axes):
            raise ContradictionError(
                f"contradictory: {describe(code, statement_facts)} does not go with {HEART_AXES[reading.axes[0]]}; "
                f"ask for one"
            )


def _completed(
    reading: Reading, rate: Rate | None, statement_facts: StatementFacts
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The statements of the condition, and those among them that were not asked for.

    A request that names nothing to show gets a normal ECG in the sinus rhythm of its heart rate. One that names only
    what normal ECGs may show, and excludes something, gets a normal ECG too: it shows nothing that is excluded.
    """
    shown = (*reading.asked, *reading.probable)
    added: list[str] = []
    if not shown:
        beats = rate.number if rate else 75.0
        added = ["NORM", "SBRAD" if beats < 60 else "STACH" if beats > 100 else "SR"]
    elif reading.excluded and "NORM" not in shown and set(shown) <= MAY_BE_NORMAL:
        added = ["NORM"]
    added = [code for code in added if code in statement_facts]
    if refused := [code for code in added if code in reading.excluded]:
        if not shown:
            named = ", ".join(describe(code, statement_facts) for code in refused)
            raise NotUnderstoodError(
                f"not understood: the request says that the ECG does not show {named}, but not what it shows; name "
                f"that, e.g. {EXAMPLES}"
            )
        added = []
    return (*shown, *added), tuple(added)


def _asked_rate(reading: Reading, heart_rate: float | None) -> Rate | None:
    """The heart rates that all words and the option allow; None where nothing is said of them."""
    said = [*reading.rates, *([] if heart_rate is None else [Rate(heart_rate, heart_rate)])]
    together = _together([(str(rate), rate) for rate in (*said, *reading.within)])
    return together if said else None


def _heart_rate(rate: Rate | None, statements: Sequence[str], statement_facts: StatementFacts) -> float | None:
    """The heart rate in bpm to ask for: one that was asked for and that the statements allow."""
    if rate is None:
        return None
    limits = [(f"{describe(code, statement_facts)} ({limit})", limit) for code, limit in possible_rates(statements)]
    together = _together([(str(rate), rate), *limits])
    low, high = (together and together.low) or RATE_BPM[0], (together and together.high) or RATE_BPM[1]
    return float(min(max(rate.number, low), high))


def _together(rates: Sequence[tuple[str, Rate]]) -> Rate | None:
    """What heart rates have in common; None where there are none."""
    together: Rate | None = None
    for at, (name, rate) in enumerate(rates):
        both = rate if together is None else together & rate
        if both is None:
            before = rates[0][0] if at == 1 else str(together)
            raise ContradictionError(f"contradictory: a heart rate of {before} and {name}; give one that fits")
        together = both
    return together
