"""Which way every negation of a text points, before its statements are read.

A negation belongs to what stands directly after it ("no A"), or to what stands directly before it ("A: no", "A denied",
"A not confirmed", "A (no)"). Whatever else it stands beside, such as a comma, a degree, a number or another negation,
leaves open what it negates: then the text is refused, since the one it was not meant for would be turned round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tasks.conditions.reading.numbers import Rate
from tasks.conditions.reading.phrases import Phrase
from tasks.conditions.reading.triggers import STAGES

NEGATIONS: Final = ("no", "without")
DENIAL: Final = "denial"
"""Kind of a negation that belongs to what stands before it."""
BRIDGES: Final = ("colon", "dash")
NAMED: Final = ("concept", "unknown", *STAGES)
QUALIFIERS: Final = ("degree", "affirm", "possible", "relation", "absent")
AFTER_A_DENIAL: Final = ("comma", "dash", "end", "close", "but")
AFTER_THEIR_STATEMENT: Final = frozenset({"denied", "no longer", "rule out"})
"""Negations that stand after a statement as often as before one."""
SHORT_ANSWERS: Final = frozenset(
    {"no", "not", "never", "lacking", "do not show", "does not show", "not show", "not showing"}
)


@dataclass
class Directed:
    """Phrases of a text whose negations point one way.

    Attributes:
        phrases: without those that a negation has taken in.
        dangling: negations and exceptions of which it is not clear what they are of.
        ambiguous: those that can belong to the statement before and to the one after.
    """

    phrases: list[Phrase] = field(default_factory=list)
    dangling: list[Phrase] = field(default_factory=list)
    ambiguous: list[Phrase] = field(default_factory=list)


def directed(phrases: Sequence[Phrase]) -> Directed:
    """Decide for every negation whether it points forwards or back."""
    found = Directed()
    found.dangling += _open_exceptions(phrases)
    spoken = _clauses([phrase for phrase in phrases if phrase.kind != "leads"])
    at = 0
    while at < len(spoken):
        phrase = spoken[at]
        if phrase.kind in NEGATIONS:
            at = _direct(spoken, at, found)
            continue
        if (
            phrase.kind == "dash"
            and phrase.words == ("-",)
            and _kind(spoken, at + 1) in (None, "comma", "end", "close")
        ):
            # "A - , B": a sign of negation, perhaps.
            found.dangling.append(phrase)
        found.phrases.append(phrase)
        at += 1
    return found


def _clauses(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Without fillers; "not A, it is B" has two clauses."""
    spoken: list[Phrase] = []
    for at, phrase in enumerate(phrases):
        later = list(phrases[at + 1 :])
        if phrase.kind == "comma" and later and later[0].kind == "filler" and later[0].words == ("it",):
            named = next((one for one in later if one.kind != "filler"), None)
            phrase = replace(phrase, kind="end") if named is not None and named.kind == "concept" else phrase
        if phrase.kind != "filler":
            spoken.append(phrase)
    return spoken


def _open_exceptions(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Each "but" that excepts from anything whatever: "any rhythm but A"."""
    found = []
    for at, phrase in enumerate(phrases):
        if phrase.kind == "but":
            fillers: list[str] = []
            while at and phrases[at - 1].kind == "filler":
                at -= 1
                fillers += phrases[at].words
            if at == 0 or "any" in fillers:
                found.append(phrase)
    return found


def _kind(spoken: Sequence[Phrase], at: int) -> str | None:
    return spoken[at].kind if at < len(spoken) else None


def _direct(spoken: Sequence[Phrase], at: int, found: Directed) -> int:
    """Append a negation as it is meant; returns where to go on."""
    phrase, end = spoken[at], at + 1
    while _kind(spoken, end) in QUALIFIERS:
        end += 1
    qualifiers = {one.kind for one in spoken[at + 1 : end]}
    following = _kind(spoken, end)
    before = [one for one in spoken[:at] if one.kind != "degree"][-2:]
    bridge = before[-1] if before and (before[-1].kind in BRIDGES or before[-1].words == ("(",)) else None
    follows_a_name = any(one.kind == "concept" for one in (before[:-1] if bridge else before[-1:]))
    words = " ".join(phrase.words)
    forwards = following in NAMED
    if following == "number" and not qualifiers and (bound := _inverted(spoken[end])):
        found.phrases.append(bound)
        return end + 1
    if following == "history" and not qualifiers and spoken[end].words[-2:] == ("history", "of"):
        found.phrases.append(phrase)
        return end + 1
    if forwards:
        after_its_name = words in AFTER_THEIR_STATEMENT or bool(qualifiers & {"affirm", "possible", "absent"})
        if follows_a_name and bridge is None and after_its_name:
            found.ambiguous.append(phrase)
        if follows_a_name and bridge and (bridge.kind == "colon" or (bridge.kind == "dash" and after_its_name)):
            found.ambiguous.append(phrase)
    elif (
        follows_a_name
        and (following is None or following in AFTER_A_DENIAL)
        and qualifiers <= {"affirm", "possible"}
        and words in AFTER_THEIR_STATEMENT | SHORT_ANSWERS
        and _closed(spoken, end, bridge)
    ):
        found.phrases.append(replace(phrase, kind=DENIAL))
        return end
    else:
        found.dangling.append(phrase)
        # It is refused; what follows is read without it.
        return end
    found.phrases.append(phrase)
    return at + 1


def _closed(spoken: Sequence[Phrase], end: int, bridge: Phrase | None) -> bool:
    """Whether a denial and its statement are set off from what follows."""
    following = _kind(spoken, end)
    if bridge is not None and bridge.kind == "comma":
        return following == "close" and _kind(spoken, end + 1) not in NAMED
    return following != "dash" or bridge is None


def _inverted(phrase: Phrase) -> Phrase | None:
    """The bound on the heart rate that "no" or "not" turns round: "no more than 100 bpm"."""
    number = phrase.number
    if number is None or number.kind != "rate" or number.rate is None or number.within:
        return None
    rate = number.rate
    if (rate.low is None) == (rate.high is None):
        return None
    return replace(phrase, number=replace(number, rate=Rate(rate.high, rate.low)))
