"""Which statements and numbers a free text speaks of, and how it means them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tasks.conditions.reading.intervals import denied_by, implied_by
from tasks.conditions.reading.numbers import Found, Rate, axis_of
from tasks.conditions.reading.phrases import SILENT, Phrase, Phrases
from tasks.conditions.reading.scope import Mention, Sentence, is_infarction
from tasks.conditions.reading.words import ellipses
from tasks.knowledge.vocabulary import PACING, Concept
from warehouse.statements import MAY_BE_NORMAL, statements

OTHER_RHYTHMS: Final = PACING - {"SR", "SBRAD", "STACH", "SARRH", "BRADY"} | {"SVARR"}
"""Beside these, "bradycardia" and "tachycardia" name a heart rate and not a sinus rhythm."""


@dataclass(frozen=True)
class Refusal:
    """Words of a text that cannot be followed, and what to say instead, if that is known.

    Attributes:
        words: as they stand in the text.
        hint: what to say instead, or "".
        known: whether they have a meaning that no statement holds.
    """

    words: str
    hint: str = ""
    known: bool = False


@dataclass(frozen=True)
class Reading:
    """What a text says.

    Attributes:
        asked: statements that the ECG shows.
        probable: statements that it shows possibly or probably; `likely`: those of them that are more than possible.
        excluded: statements that it does not show.
        history: statements that it showed in the past; the text says nothing of the present.
        stages: infarction statement to its stage, as PTB-XL codes it.
        axes, not_axes: heart axes that it has and has not, as PTB-XL codes them.
        rates: heart rates asked for; more than one only where a text says more than one.
        within: heart rates that the words for its statements allow.
        ages, sexes: in years, and "female" or "male"; more than one only where a text says more than one.
        not_understood: what is not understood, or asks for what no statement holds.
        leads: where it shows it, which no statement holds.
        excluded_names: what was called absent.
        ambiguous: words that can be read the other way round too.
        findings: phrases of `tasks.conditions.report_findings` that it asks for, with how likely they are.
        degrees: words for how much, how often or how long, which no statement holds.
    """

    asked: tuple[str, ...] = ()
    probable: tuple[str, ...] = ()
    likely: frozenset[str] = frozenset()
    excluded: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    not_axes: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()
    within: tuple[Rate, ...] = ()
    ages: tuple[float, ...] = ()
    sexes: tuple[str, ...] = ()
    not_understood: tuple[Refusal, ...] = ()
    ambiguous: tuple[str, ...] = ()
    degrees: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    excluded_names: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is said of an ECG, right or wrong."""
        return self == Reading(stages=self.stages, degrees=self.degrees)


class StatementReader:
    """Reads statements and numbers out of words.

    Args:
        statement_facts: the statements that there are, with their descriptions.
        findings: what may be asked for beside them, phrases of `tasks.conditions.report_findings`.
    """

    def __init__(self, statement_facts: Mapping[str, Mapping[str, Any]], findings: Sequence[str] = ()) -> None:
        self.statement_facts, self.findings = statement_facts, findings
        self._phrases = Phrases(statement_facts)

    def read(self, text: str) -> Reading:
        """What a text says. Nothing is raised; what is not understood is listed."""
        phrases = self._phrases.read(text)
        sentence = Sentence(phrases)
        numbers = sentence.numbers
        leads = [text[one.start : one.end] for one in phrases if one.kind == "leads"]
        meaning = _Meaning(sentence.mentions, numbers, self.statement_facts, self.findings)
        return Reading(
            asked=meaning.of("asked"),
            probable=meaning.of("possible"),
            likely=frozenset(code for one in sentence.mentions if one.likely for code in _concept(one).asks),
            excluded=meaning.excluded(),
            history=meaning.of("history"),
            stages=meaning.stages,
            axes=_once([*meaning.axes("asked"), *meaning.axes("possible"), *_axes(numbers)]),
            not_axes=meaning.axes("excluded"),
            rates=_once(meaning.rates),
            within=tuple(meaning.within),
            ages=_once([one.age for one in numbers if one.age is not None]),
            sexes=_once([one.sex for one in numbers if one.sex] + [one.kind for one in phrases if one.kind in _SEXES]),
            not_understood=(*_unknown(text, phrases, sentence), *meaning.refused(text)),
            findings=meaning.findings(),
            leads=_once(leads),
            ambiguous=(
                *ellipses(text),
                *(
                    text[one.start : one.end]
                    for one in [*sentence.ambiguous, *(each.phrase for each in sentence.mentions if each.ambiguous)]
                ),
            ),
            excluded_names=meaning.excluded_names(),
            degrees=_once([text[one.start : one.end] for one in phrases if one.kind == "degree"]),
        )


_SEXES: Final = ("female", "male")


class _Meaning:
    """What mentions and numbers amount to together."""

    def __init__(
        self,
        mentions: Sequence[Mention],
        numbers: Sequence[Found],
        facts: Mapping[str, Mapping[str, Any]],
        known_findings: Sequence[str],
    ) -> None:
        self.mentions, self.numbers, self.facts, self.known_findings = mentions, numbers, facts, known_findings
        self._asks: list[tuple[str, str]] = []
        self._denies: list[str] = []
        self.rates = [one.rate for one in numbers if one.rate is not None]
        self.within = [Rate.of(one.within) for one in numbers if one.within]
        self.stages: dict[str, str] = {}
        self._refused: list[tuple[int, int, str, bool]] = []
        named = statements().with_broader(
            code for one in mentions if one.status in ("asked", "possible") for code in _concept(one).asks
        )
        for mention in mentions:
            self._take(mention, bool(named & OTHER_RHYTHMS))
        for number in numbers:
            if number.interval and number.ms is not None:
                asks, denies = implied_by(number.interval, number.ms), denied_by(number.interval, number.ms)
                self._asks += [(code, "asked") for code in asks]
                self._denies += denies
                if not asks and not denies and not self._explains(number.interval, number.ms, named):
                    self._refused.append((number.start, number.end, _INTERVAL_HINTS.get(number.interval, ""), True))
        self._settle_exceptions()
        self._settle_stages()

    @staticmethod
    def _explains(interval: str, ms: Rate, named: frozenset[str]) -> bool:
        """Whether a statement that is asked for shows such an interval anyway."""
        return (interval == "qrs" and (ms.low or 0) >= 120 and bool(named & _WIDE)) or (
            interval in ("pr", "pq") and "WPW" in named
        )

    def _take(self, mention: Mention, other_rhythm: bool) -> None:
        concept, shown = _concept(mention), mention.status in ("asked", "possible")
        if concept.finding and mention.status != "history":
            return
        if mention.status == "excluded":
            if concept.excluded_rate:
                self.rates.append(Rate.of(concept.excluded_rate))
            if not (concept.excludes or concept.axis or concept.excluded_rate):
                self._refuse(mention)
            return
        if shown and concept.with_rhythm and other_rhythm:
            self.rates.append(Rate.of(concept.with_rhythm))
            return
        if not (concept.asks or concept.denies or concept.axis or concept.rate or concept.names_stage):
            self._refuse(mention)
        if shown and concept.rate:
            self.rates.append(Rate.of(concept.rate))
        if shown and concept.within:
            self.within.append(Rate.of(concept.within))
        self._denies += concept.denies if shown else ()
        for code in concept.asks:
            self._asks.append((code, mention.status))
            if shown and (stage := mention.stage or concept.stage):
                self.stages[code] = stage

    def _refuse(self, mention: Mention) -> None:
        concept = _concept(mention)
        self._refused.append((mention.phrase.start, mention.phrase.end, concept.hint, True))

    def _settle_exceptions(self) -> None:
        """An ECG that is normal but for something is not normal, unless normal ECGs may show that."""
        excepted = any(mention.exception for mention in self.mentions)
        otherwise = any(_concept(mention).otherwise for mention in self.mentions)
        others = {code for code, status in self._asks if code != "NORM" and status != "history"}
        if (excepted or otherwise) and not others <= MAY_BE_NORMAL:
            self._asks = [one for one in self._asks if one[0] != "NORM"]

    def _settle_stages(self) -> None:
        """A stage that is said apart is that of every infarction."""
        for mention in self.mentions:
            concept = _concept(mention)
            if concept.names_stage:
                infarctions = [code for code, status in self._asks if is_infarction(code) and status != "history"]
                self.stages |= {code: concept.stage for code in infarctions if code not in self.stages}
                if not infarctions or mention.status not in ("asked", "possible"):
                    self._refuse(mention)

    def of(self, status: str) -> tuple[str, ...]:
        """Statements with a status; what is asked for certain is not also probable or past."""
        certain = [code for code, given in self._asks if given == "asked"]
        return _once(
            [code for code, given in self._asks if given == status and (status == "asked" or code not in certain)]
        )

    def findings(self) -> tuple[str, ...]:
        """Findings that are asked for."""
        shown = [one for one in self.mentions if one.status in ("asked", "possible") and _concept(one).finding]
        return _once([_finding(one) for one in shown])

    def excluded(self) -> tuple[str, ...]:
        """Statements that must be absent, without the exceptions made."""
        excepted = {code for one in self.mentions if one.exception for code in _concept(one).asks}
        found = list(self._denies)
        for mention in self.mentions:
            if mention.status == "excluded":
                stage = mention.stage or _concept(mention).stage
                # No acute infarction, but an old one.
                found += [
                    code
                    for code in _concept(mention).excludes
                    if not (stage and self.stages.get(code, stage) != stage) and code not in excepted
                ]
        return _once(found)

    def excluded_names(self) -> tuple[str, ...]:
        """Names of what is absent."""
        return _once(
            [
                _concept(one).name
                for one in self.mentions
                if one.status == "excluded" or (one.status != "history" and _concept(one).denies)
            ]
        )

    def axes(self, status: str) -> tuple[str, ...]:
        """Heart axes with a status."""
        return _once([_concept(one).axis for one in self.mentions if one.status == status and _concept(one).axis])

    def refused(self, text: str) -> list[Refusal]:
        """What asks for something that no statement holds, and statements that these recordings lack."""
        found = [Refusal(text[start:end], hint, known) for start, end, hint, known in self._refused]
        for mention in self.mentions:
            held = set(_concept(mention).asks) <= self.facts.keys()
            if _concept(mention).finding:
                held = _finding(mention) in self.known_findings
            if mention.status != "excluded" and not held:
                words = text[mention.phrase.start : mention.phrase.end]
                found.append(Refusal(words, "the model's recordings do not hold it", known=True))
        return found


_UNCLEAR: Final = (
    "it is not clear what it is said of; write it directly before one finding and end with a semicolon, e.g. "
    "'no atrial fibrillation; LBBB'"
)
_WIDE: Final = frozenset({"CLBBB", "CRBBB", "IVCD", "PACE", "WPW"})
_INTERVAL_HINTS: Final = {
    "qrs": "name what widens it: left or right bundle branch block, or intraventricular conduction delay",
    "qt": "give QTc, e.g. QTc 500 ms",
    "pr": "below 120 ms no statement names it",
    "pq": "below 120 ms no statement names it",
}


def _concept(mention: Mention) -> Concept:
    assert mention.phrase.concept is not None
    return mention.phrase.concept


def _finding(mention: Mention) -> str:
    if mention.status == "asked":
        return _concept(mention).finding
    return f"{'probable' if mention.likely else 'possible'} {_concept(mention).finding}"


def _once(found: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(found))


def _axes(numbers: Sequence[Found]) -> list[str]:
    return [axis_of(one.axis_deg) for one in numbers if one.axis_deg is not None]


def _unknown(text: str, phrases: Sequence[Phrase], sentence: Sentence) -> list[Refusal]:
    """Neighbouring words that are not understood, with small words between them, as they stand in the text."""
    runs: list[tuple[int, int]] = []
    start = end = None
    for at, phrase in enumerate(phrases):
        if phrase.kind == "unknown":
            before = phrases[at - 1] if at else None
            if start is None:
                start = before.start if before is not None and before.kind in ("no", "without") else phrase.start
            end = phrase.end
        elif phrase.kind not in SILENT and start is not None and end is not None:
            runs.append((start, end))
            start = end = None
    if start is not None and end is not None:
        runs.append((start, end))
    unclear = []
    for one in sentence.dangling:
        after = next((later for later in phrases if later.start >= one.end), None)
        unclear.append((one.start, after.end if after is not None and after.kind == "degree" else one.end))
    return [Refusal(text[one:other]) for one, other in runs] + [
        Refusal(text[one:other], _UNCLEAR) for one, other in dict.fromkeys(unclear)
    ]
