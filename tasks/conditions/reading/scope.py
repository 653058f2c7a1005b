"""How the statements of a text are meant: asked for, doubted, negated or past.

The algorithm is NegEx's (Chapman et al., J Biomed Inform 34:301, 2001) with the temporality and the termination of
ConText (Harkema et al., J Biomed Inform 42:839, 2009): a trigger reaches forwards to the end of its scope, or back to
the statements just before it. It differs in lists. There "no A, B or C" negates all three and "no A with B" the first
only; "no A, B" and "no A and B" can be read either way, and are marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tasks.conditions.reading.phrases import SILENT, Phrase
from tasks.conditions.reading.triggers import HALF_CERTAIN, PAST, STAGES

NEGATIONS: Final = ("no", "without")
EITHER_WAY: Final = ("absent", "affirm", "possible")
SEPARATORS: Final = ("comma", "dash", "colon", "close", "end", "or", "and", "nor", "but", "with", "versus")
ORDINARY: Final = frozenset({"SR", "NORM"})
"""Nobody denies these at the end of a list of findings."""
INFARCTION: Final = "MI"


@dataclass
class Mention:
    """A concept in a text.

    Attributes:
        phrase: where it stands.
        status: asked, possible, excluded or history.
        likely: of a possible one, whether it is more than possible.
        stage: stage of the infarction, as PTB-XL codes it, or "".
        ambiguous: it can be read the other way round too.
        exception: it is what a sentence makes an exception of.
        joins: the words between it and the mention before it.
    """

    phrase: Phrase
    status: str = "asked"
    likely: bool = False
    stage: str = ""
    ambiguous: bool = False
    exception: bool = False
    joins: frozenset[str] = frozenset()


@dataclass
class Scope:
    """What a trigger reaches."""

    kind: str = "plain"
    trigger: Phrase | None = None
    mentions: list[Mention] = field(default_factory=list)
    pending: list[Mention] = field(default_factory=list)
    again: bool = False

    def close(self) -> None:
        """Decide on what followed a negated statement after a comma or an "and"."""
        for mention in self.pending:
            concept = mention.phrase.concept
            if self.again or (concept and set(concept.asks) <= ORDINARY):
                # "no A, no B, C": whoever repeats the negation ends it with B.
                mention.status = "asked"
            else:
                mention.status, mention.ambiguous = "excluded", True
        self.pending = []


class Sentence:
    """Walks through the phrases of one text."""

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        self.phrases = [phrase for phrase in phrases if phrase.kind not in SILENT]
        self.mentions: list[Mention] = []
        self.dangling: list[Phrase] = []
        self.ambiguous: list[Phrase] = []
        self.scope = Scope()
        self.joins: set[str] = set()
        self.stage = ""
        for at, phrase in enumerate(self.phrases):
            self._step(at, phrase)
        self._open(Scope())

    def _step(self, at: int, phrase: Phrase) -> None:
        kind = phrase.kind
        if kind == "concept":
            self._mention(phrase)
        elif kind in NEGATIONS:
            self._negate(phrase)
        elif kind == "relation" and self.scope.kind in NEGATIONS and not self.joins:
            self.joins |= {"or"} if self.scope.mentions else set()
        elif kind in (*EITHER_WAY, "relation"):
            self._either_way(at, replace(phrase, kind="possible") if kind == "relation" else phrase)
        elif kind in ("history", "except"):
            self._open(Scope(kind, phrase))
        elif kind in ("in the past", "doubt"):
            if self.mentions and "end" not in self.joins:
                self._back("history" if kind == "in the past" else "possible")
            else:
                self.dangling.append(phrase)
        elif kind in STAGES:
            self._stage(at, phrase)
        elif kind == "end" or (kind == "but" and not self._excepts(phrase)):
            self._open(Scope())
            self.joins = {"end"}
        elif kind in ("with", "close"):
            self.joins |= {"comma"} if kind == "close" else set()
            if self.scope.mentions or self.scope.kind == "plain":
                self._open(Scope())
        elif kind in SEPARATORS:
            self.joins.add(kind)
            if kind == "nor" and self.scope.kind not in NEGATIONS:
                self._open(Scope("without", phrase))
            elif kind == "comma" and self.scope.mentions and self.scope.kind in ("possible", "history"):
                self._open(Scope())
        elif kind == "unknown":
            # What follows is not understood as a whole; its trigger reached something.
            self.scope.trigger = None if not self.scope.mentions else self.scope.trigger

    def _open(self, scope: Scope) -> None:
        last = self.scope
        last.close()
        if last.trigger is not None and not last.mentions:
            self.dangling.append(last.trigger)
        scope.again = last.kind in NEGATIONS and scope.kind in NEGATIONS and bool(last.mentions)
        self.scope = scope

    def _excepts(self, phrase: Phrase) -> bool:
        """Whether "but" makes an exception: "normal but for …"."""
        last = self.mentions[-1].phrase.concept if self.mentions and "end" not in self.joins else None
        if last is None or last.asks != ("NORM",) or self.mentions[-1].status != "asked":
            return False
        self._open(Scope("except", phrase))
        return True

    def _negate(self, phrase: Phrase) -> None:
        empty = not self.scope.mentions
        if self.scope.kind in NEGATIONS and empty:
            # Negated twice.
            self.scope.trigger = None
            self._open(Scope("affirm", phrase))
        else:
            if self.scope.kind in EITHER_WAY and empty:
                self.scope.trigger = None
            self._open(Scope(phrase.kind, phrase))

    def _either_way(self, at: int, phrase: Phrase) -> None:
        """A trigger that belongs to what follows, if that follows at once, or else to what comes before it."""
        before, after = self._around(at)
        follows = after is not None and (after.kind in ("concept", "unknown") or after.kind in STAGES)
        precedes = before is not None and (before.kind == "concept" or (before.kind in STAGES and self.mentions))
        if self.scope.kind in NEGATIONS and not self.scope.mentions:
            if phrase.kind == "absent":
                self.scope.trigger = None
                self._open(Scope("affirm", phrase))
            # "no possible", "no evident": still negated.
            return
        denied = bool(self.mentions) and self.mentions[-1].status == "excluded"
        if follows and precedes and (phrase.kind == "absent" or (phrase.kind == "possible" and denied)):
            self.ambiguous.append(phrase)
        reaches_back = bool(self.mentions) and "end" not in self.joins and (before is None or before.kind != "number")
        if phrase.kind == "affirm" and follows and precedes:
            # "LVH seen, AF" or "with LVH present AF": says nothing new of what follows.
            self._open(Scope())
        elif follows and not (precedes and phrase.kind == "absent"):
            self._open(Scope({"absent": "without"}.get(phrase.kind, phrase.kind), phrase))
        elif reaches_back:
            self._back({"absent": "excluded", "affirm": "asked", "possible": "possible"}[phrase.kind], _likely(phrase))
        elif phrase.kind != "affirm":
            self._open(Scope({"absent": "without"}.get(phrase.kind, phrase.kind), phrase))

    def _around(self, at: int) -> tuple[Phrase | None, Phrase | None]:
        """The phrases before and after one; what a colon announces follows at once."""
        before = self.phrases[at - 1] if at else None
        later = self.phrases[at + 1 : at + 3]
        if len(later) == 2 and later[0].kind == "colon":
            later = later[1:]
        return before, later[0] if later else None

    def _back(self, status: str, likely: bool = False) -> None:
        """Apply a trigger to the last mention and to what "and" or "or" joins with it."""
        reached, joins = 0, frozenset[str]()
        for mention in reversed(self.mentions):
            concept = mention.phrase.concept
            if reached > 1 and not (concept and set(concept.asks) <= ORDINARY) and "comma" in joins:
                # "A, B and C are absent": perhaps A too.
                mention.ambiguous = True
                break
            if reached and not {"and", "or", "nor"} & joins:
                break
            if mention in self.scope.pending:
                self.scope.pending.remove(mention)
                mention.status = status
            elif status == "excluded" and mention.status == "excluded":
                mention.ambiguous = True
            elif mention.status != "excluded":
                mention.status, mention.likely = status, likely
                if status == "excluded":
                    mention.ambiguous = False
            joins, reached = mention.joins, reached + 1

    def _stage(self, at: int, phrase: Phrase) -> None:
        after = self.phrases[at + 1] if at + 1 < len(self.phrases) else None
        last = self.mentions[-1] if self.mentions and "end" not in self.joins else None
        if (after is None or after.kind in SEPARATORS) and last is not None and _infarction(last.phrase):
            last.stage = STAGES[phrase.kind]
        else:
            self.stage = STAGES[phrase.kind]

    def _mention(self, phrase: Phrase) -> None:
        scope, joins = self.scope, frozenset(self.joins)
        mention = Mention(phrase, joins=joins, exception=scope.kind == "except")
        if scope.kind == "history" and scope.trigger and scope.trigger.words[0] in PAST and _infarction(phrase):
            # An infarction leaves its scar.
            self.scope = scope = Scope(mentions=[mention])
            self.stage = STAGES["old"]
        if _infarction(phrase):
            mention.stage = self.stage
        self.stage = ""
        if scope.kind in NEGATIONS:
            mention.status = "excluded"
            if scope.mentions:
                self._list(mention, joins)
        elif scope.kind in ("possible", "history"):
            mention.status = scope.kind
            mention.likely = scope.trigger is not None and _likely(scope.trigger)
        if {"or", "versus"} & joins and self.mentions and "end" not in joins and not self._both_excluded(mention):
            mention.ambiguous = True
        scope.mentions.append(mention)
        self.mentions.append(mention)
        self.joins = set()

    def _both_excluded(self, mention: Mention) -> bool:
        return mention.status == "excluded" and self.mentions[-1].status == "excluded"

    def _list(self, mention: Mention, joins: frozenset[str]) -> None:
        """What a negation means for the second and later members of its list."""
        scope = self.scope
        if {"or", "nor"} & joins or (scope.kind == "without" and "and" in joins):
            scope.pending = []
        else:
            scope.pending.append(mention)


def _likely(phrase: Phrase) -> bool:
    return bool(HALF_CERTAIN & set(phrase.words))


def _infarction(phrase: Phrase) -> bool:
    concept = phrase.concept
    return concept is not None and any(is_infarction(code) for code in (*concept.asks, *concept.excludes))


def is_infarction(code: str) -> bool:
    """Whether a statement is an infarction, as those that end so are: IMI, ASMI …"""
    return code.endswith(INFARCTION)
