"""Cuts a text into the phrases that are known: names of statements, triggers, numbers; the rest is not understood."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from tasks.conditions.reading.numbers import Found, Rate, numbers_of
from tasks.conditions.reading.triggers import triggers
from tasks.conditions.reading.words import Word, corrected, words_of
from tasks.knowledge.vocabulary import Concept, vocabulary
from warehouse.statements import statements

JOINING: Final = ("comma", "or", "and", "nor", "dash")
SILENT: Final = ("filler", "degree", "leads")


@dataclass(frozen=True)
class Phrase:
    """A known phrase, or one that is not understood.

    Attributes:
        kind: concept, number, unknown, or a kind of trigger.
        start, end: where it stands in the text.
        words: as they were matched, mistakes corrected.
        concept, number: what it means.
    """

    kind: str
    start: int
    end: int
    words: tuple[str, ...] = ()
    concept: Concept | None = None
    number: Found | None = None


class Phrases:
    """All wordings of concepts and triggers; the longest that fits counts.

    Args:
        statement_facts: the statements that there are, with their descriptions.
    """

    def __init__(self, statement_facts: Mapping[str, Mapping[str, Any]]) -> None:
        self._known: dict[tuple[str, ...], tuple[str, Concept | None]] = {}
        for kind, wordings in triggers().items():
            for wording in wordings:
                self._known[_matched(wording)] = (kind, None)
        for code, facts in statement_facts.items():
            if description := str(facts.get("description") or ""):
                self._known[_matched(description)] = ("concept", Concept(description, asks=(code,), excludes=(code,)))
        held = _HeldStatements(statement_facts)
        for wording, concept in vocabulary().wordings:
            self._known[_matched(wording)] = ("concept", held.excluded_by(concept))
        for code in statement_facts:
            for wording in vocabulary().of_sources.get(code, ()):
                key = _matched(wording)
                own = _own(code, self._known.get(key, ("", None))[1])
                self._known[key] = ("concept", held.excluded_by(own))
        self._longest = max(map(len, self._known))
        self._words = {word for words in self._known for word in words}
        self._corrected: dict[str, str | None] = {}

    def read(self, text: str) -> list[Phrase]:
        """The phrases of a text in order."""
        numbers = numbers_of(text)
        words = [
            word for word in words_of(text) if all(word.end <= one.start or word.start >= one.end for one in numbers)
        ]
        phrases: list[Phrase] = []
        for number in numbers:
            earlier = [word for word in words if word.start < number.start]
            phrases += self._cut(earlier)
            phrases.append(
                Phrase("leads" if number.kind == "leads" else "number", number.start, number.end, number=number)
            )
            words = words[len(earlier) :]
        return self._completed(self._with_bare_rates(text, phrases + self._cut(words)))

    def _cut(self, words: Sequence[Word]) -> list[Phrase]:
        spelled = [self._spelled(word.text) for word in words]
        phrases, at = [], 0
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                key = tuple(spelled[at : at + length])
                if key in self._known:
                    kind, concept = self._known[key]
                    break
            else:
                length, key, kind, concept = 1, (spelled[at],), "unknown", None
            phrases.append(Phrase(kind, words[at].start, words[at + length - 1].end, key, concept))
            at += length
        return phrases

    def _spelled(self, word: str) -> str:
        if word in self._words:
            return word
        if word not in self._corrected:
            self._corrected[word] = corrected(word, self._words)
        return self._corrected[word] or word

    def _with_bare_rates(self, text: str, phrases: list[Phrase]) -> list[Phrase]:
        """A number that stands alone after a rhythm, as in "NSR 72", is its heart rate."""
        after = list(phrases)
        for at, phrase in enumerate(phrases):
            before = next((one for one in reversed(phrases[:at]) if one.kind not in (*SILENT, "comma")), None)
            if (
                phrase.kind == "unknown"
                and re.fullmatch(r"[2-9]\d|[1-3]\d\d", phrase.words[0], re.ASCII)
                and before is not None
                and before.concept is not None
                and before.concept.paces
                and text[phrase.end : phrase.end + 1] not in ("%", "°")
            ):
                beats = float(phrase.words[0])
                number = Found("rate", phrase.start, phrase.end, rate=Rate(beats, beats))
                after[at] = Phrase("number", phrase.start, phrase.end, number=number)
        return after

    def _completed(self, phrases: list[Phrase]) -> list[Phrase]:
        """Names that share words with a neighbour in a list get them: "inferior and lateral ischemia"."""
        done = list(phrases)
        for at in reversed(range(len(done))):
            if done[at].kind in ("unknown", "degree"):
                self._complete(done, at, forwards=True)
        for at in range(len(done)):
            if done[at].kind == "unknown":
                self._complete(done, at, forwards=False)
        return done

    def _complete(self, phrases: list[Phrase], at: int, forwards: bool) -> None:
        neighbours = phrases[at + 1 :] if forwards else phrases[:at][::-1]
        neighbours = [one for one in neighbours if one.kind not in SILENT]
        if len(neighbours) < 2 or neighbours[0].kind not in JOINING or neighbours[1].concept is None:
            return
        own, other = phrases[at].words, neighbours[1].words
        for shared in range(len(other) - 1, 0, -1):
            key = (*own, *other[-shared:]) if forwards else (*other[:shared], *own)
            kind, concept = self._known.get(key, ("", None))
            if kind == "concept":
                phrases[at] = Phrase(kind, phrases[at].start, phrases[at].end, key, concept)
                return


class _HeldStatements:
    """Gives concepts what recordings hold of the statements that only other sources than PTB-XL make."""

    def __init__(self, statement_facts: Collection[str]) -> None:
        self._facts = statement_facts
        self._seen: dict[Concept, Concept] = {}

    def excluded_by(self, concept: Concept) -> Concept:
        """The concept with all that its negation excludes: no AV block means no Wenckebach block either."""
        if concept not in self._seen:
            self._seen[concept] = replace(
                concept, excludes=self._with_narrower(concept.excludes), denies=self._with_narrower(concept.denies)
            )
        return self._seen[concept]

    def _with_narrower(self, codes: tuple[str, ...]) -> tuple[str, ...]:
        more = sorted(statements().with_narrower(codes) - {*codes})
        return tuple(code for code in (*codes, *more) if code in self._facts or code not in vocabulary().of_sources)


def _own(code: str, general: Concept | None) -> Concept:
    """What a wording means where recordings hold a statement of that name, whatever it means elsewhere."""
    name = statements().by_code[code].description
    if general is None:
        return Concept(name, asks=(code,), excludes=(code,))
    excludes = tuple(dict.fromkeys((code, *general.excludes, *general.asks)))
    return replace(general, name=name, asks=(code,), excludes=excludes, hint="", finding="", held=True)


@cache
def _matched(wording: str) -> tuple[str, ...]:
    return tuple(word.text for word in words_of(wording))
