"""How the statements of a text are meant: asked for, doubted, negated or past.

The algorithm is NegEx's (Chapman et al., J Biomed Inform 34:301, 2001) with the temporality and the termination of
ConText (Harkema et al., J Biomed Inform 42:839, 2009): a trigger reaches forwards to the end of its scope, or back to
the statements just before it. It differs in lists. There "no A, B or C" negates all three; "no A, B", "no A and B",
"no A with B", "no A, no B, C" and "A, B absent" can be read either way, and are marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from tasks.conditions.reading.negations import BRIDGES, DENIAL, NEGATIONS, SHORT_ANSWERS, directed
from tasks.conditions.reading.numbers import Found
from tasks.conditions.reading.phrases import SILENT, Phrase
from tasks.conditions.reading.triggers import HALF_CERTAIN, PAST, STAGES

EITHER_WAY: Final = ("absent", "affirm", "possible")
SEPARATORS: Final = ("comma", "dash", "colon", "close", "end", "or", "and", "nor", "but", "with", "versus")
ORDINARY: Final = frozenset({"SR", "NORM"})
"""Nobody denies these at the end of a list of findings."""
SINUS: Final = frozenset({"SR", "SBRAD", "STACH"})
"""Nor these, if their heart rate follows."""
LIST: Final = frozenset({"comma", "or", "and", "nor", "dash", "with", "adding"})
"""What may join the members of a list."""
ADDING: Final = ("plus", "as well as", "combined with", "in combination with")
TIMES: Final = ("now", "currently", "today")
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
        settled: a trigger of its own says how it is meant.
    """

    phrase: Phrase
    status: str = "asked"
    likely: bool = False
    stage: str = ""
    ambiguous: bool = False
    exception: bool = False
    joins: frozenset[str] = frozenset()
    settled: bool = False


@dataclass
class Scope:
    """What a trigger reaches."""

    kind: str = "plain"
    trigger: Phrase | None = None
    mentions: list[Mention] = field(default_factory=list)
    pending: list[Mention] = field(default_factory=list)

    def close(self) -> None:
        """Decide on what followed a negated statement after a comma or an "and"."""
        for mention in self.pending:
            if _ordinary(mention.phrase):
                mention.status = "asked"
            else:
                mention.status, mention.ambiguous = "excluded", True
        self.pending = []


class Sentence:
    """Walks through the phrases of one text."""

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        found = directed(phrases)
        self.phrases = [phrase for phrase in found.phrases if phrase.kind not in SILENT]
        self.mentions: list[Mention] = []
        self.dangling, self.ambiguous = found.dangling, found.ambiguous
        self.scope = Scope()
        self.joins: set[str] = set()
        self.stage = ""
        for at, phrase in enumerate(self.phrases):
            self._step(at, phrase)
        self._open(Scope())
        for last, mention in pairwise(self.mentions):
            # "A is excluded as well as B": B too, perhaps, unless something is said of it.
            added = bool(mention.joins) and mention.joins <= {"and", "or", "adding"}
            if added and last.status == "excluded" and last.settled and mention.status == "asked":
                mention.ambiguous |= not mention.settled

    @property
    def numbers(self) -> list[Found]:
        """The numbers of the text, bounds as their negations leave them."""
        return [phrase.number for phrase in self.phrases if phrase.number is not None]

    def _step(self, at: int, phrase: Phrase) -> None:
        kind = phrase.kind
        if kind == "concept":
            self._mention(phrase)
        elif kind in NEGATIONS:
            self._negate(phrase)
        elif kind == DENIAL:
            if phrase.words == ("not",) and any(one.status in ("excluded", "possible") for one in self.mentions[:-1]):
                # "A is excluded, B is not", "A is not excluded, B is not".
                self.ambiguous.append(phrase)
            self._back("excluded")
        elif kind == "number":
            self._number(phrase)
        elif kind == "relation" and self.scope.kind in NEGATIONS and not self.joins:
            self.joins |= {"or"} if self.scope.mentions else set()
        elif kind in (*EITHER_WAY, "relation"):
            self._either_way(at, replace(phrase, kind="possible") if kind == "relation" else phrase)
        elif kind == "except":
            self._except(at, phrase)
        elif kind == "history":
            _, after = self._around(at)
            if after is None or after.kind not in ("concept", "unknown", "possible", "relation", *STAGES):
                self.dangling.append(phrase)
            else:
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
        elif kind == "with":
            self._with(at, phrase)
        elif kind == "close":
            self.joins.add("comma")
            if self.scope.mentions or self.scope.kind == "plain":
                self._open(Scope())
        elif kind in SEPARATORS:
            self.joins |= {kind, "adding"} if " ".join(phrase.words) in ADDING else {kind}
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
        self.scope = scope

    def _excepts(self, phrase: Phrase) -> bool:
        """Whether "but" makes an exception: "normal but for …"."""
        last = self.mentions[-1].phrase.concept if self.mentions and "end" not in self.joins else None
        if last is None or last.asks != ("NORM",) or self.mentions[-1].status != "asked":
            return False
        self._open(Scope("except", phrase))
        return True

    def _except(self, at: int, phrase: Phrase) -> None:
        """Only what is normal, or is excluded as a group, can have an exception."""
        last = self.mentions[-1] if self.mentions and not self.joins else None
        _, after = self._around(at)
        if last is not None and last.phrase.concept is not None and after is not None:
            normal = last.phrase.concept.asks == ("NORM",) and last.status == "asked"
            asks = set(after.concept.asks) if after.concept else set()
            group = last.status == "excluded" and bool(asks) and asks < set(last.phrase.concept.excludes)
            if normal or group:
                self._open(Scope("except", phrase))
                return
        self.dangling.append(phrase)

    def _with(self, at: int, phrase: Phrase) -> None:
        """Ends a scope; what follows what is excluded without a comma may be excluded with it."""
        _, after = self._around(at)
        if " ".join(phrase.words) in TIMES and (after is None or after.kind in SEPARATORS):
            return
        denied = bool(self.mentions) and self.mentions[-1].status == "excluded" and not self.joins
        if denied and after is not None and after.kind in ("concept", *STAGES, *EITHER_WAY) and not _ordinary(after):
            self.ambiguous.append(after)
        self.joins.add("with")
        if self.scope.mentions or self.scope.kind == "plain":
            self._open(Scope())

    def _number(self, phrase: Phrase) -> None:
        """A heart rate or an interval beside something excluded may be meant to be excluded with it."""
        number, pending = phrase.number, self.scope.pending
        if number is None or (number.rate is None and not number.interval):
            return
        last = self.mentions[-1] if self.mentions and self.joins <= {"with"} else None
        if last is not None and last.status == "excluded":
            concept = last.phrase.concept
            if last in pending and concept is not None and set(concept.asks) <= SINUS and number.rate is not None:
                pending.remove(last)
                last.status = "asked"
            elif not _ordinary(last.phrase):
                self.ambiguous.append(phrase)
        self.joins.add("number")

    def _negate(self, phrase: Phrase) -> None:
        if self.scope.kind in (*EITHER_WAY, *NEGATIONS) and not self.scope.mentions:
            if self.scope.kind in NEGATIONS:
                self.dangling.append(phrase)
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
        if follows and self._answers(at):
            self.ambiguous.append(phrase)
        if follows and precedes and (phrase.kind == "absent" or (phrase.kind == "possible" and denied)):
            self.ambiguous.append(phrase)
        reaches_back = bool(self.mentions) and "end" not in self.joins and (before is None or before.kind != "number")
        if phrase.kind == "affirm" and follows and precedes:
            # "LVH seen, AF" or "with LVH present AF": says nothing new of what follows.
            self._open(Scope())
        elif follows and not (precedes and phrase.kind == "absent"):
            self._open(Scope({"absent": "without"}.get(phrase.kind, phrase.kind), phrase))
        elif reaches_back:
            if denied and phrase.kind != "absent" and ((before and before.kind in BRIDGES) or self._between()):
                self.ambiguous.append(phrase)
            self._back({"absent": "excluded", "affirm": "asked", "possible": "possible"}[phrase.kind], _likely(phrase))
        elif phrase.kind != "affirm" and (after is None or after.kind in (*SEPARATORS, "number", "female", "male")):
            self.dangling.append(phrase)
        elif phrase.kind != "affirm":
            self._open(Scope({"absent": "without"}.get(phrase.kind, phrase.kind), phrase))

    def _around(self, at: int) -> tuple[Phrase | None, Phrase | None]:
        """The phrases before and after one; what a colon announces follows at once."""
        before = self.phrases[at - 1] if at else None
        later = self.phrases[at + 1 : at + 3]
        if len(later) == 2 and later[0].kind == "colon":
            later = later[1:]
        return before, later[0] if later else None

    def _answers(self, at: int) -> bool:
        """Whether an "absent" or "possible" before a name answers to the name before it: "A: absent B: present"."""
        before = self.phrases[max(at - 2, 0) : at]
        if self.phrases[at].kind == "affirm" or len(before) < 2 or before[0].kind != "concept":
            return False
        later = self.phrases[at + 2 : at + 3]
        return before[1].kind == "colon" or (
            before[1].kind == "dash" and (self.phrases[at].kind == "absent" or bool(later and later[0].kind in BRIDGES))
        )

    def _between(self) -> bool:
        """Whether the last negation may belong to the name before it: "A no B present"."""
        trigger = self.scope.trigger
        answers = trigger is not None and " ".join(trigger.words) in SHORT_ANSWERS
        return answers and len(self.mentions) > 1 and not self.mentions[-1].joins

    def _back(self, status: str, likely: bool = False) -> None:
        """Apply a trigger to the last mention and to what "and" or "or" joins with it."""
        reached, joins = 0, frozenset[str]()
        for mention in reversed(self.mentions):
            loosely = "comma" in joins or not {"and", "or", "nor"} & joins
            if reached and loosely and joins <= LIST and not _ordinary(mention.phrase):
                doubly = status == "excluded" and mention.status == "asked" and not mention.settled
                if doubly or (reached > 1 and "comma" in joins):
                    # "A, B and C are absent", "A, B: none": perhaps A too.
                    mention.ambiguous = True
                break
            if reached and (mention.settled or not {"and", "or", "nor"} & joins):
                break
            if mention in self.scope.pending:
                self.scope.pending.remove(mention)
                # "no A and B seen": neither, or B.
                mention.status, mention.ambiguous = status, status != "excluded"
            elif status == "excluded" and mention.status == "excluded":
                mention.ambiguous = True
            elif mention.status != "excluded":
                mention.status, mention.likely = status, likely
                if status == "excluded":
                    mention.ambiguous = False
            mention.settled = True
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
        if {"or", "nor"} & joins or (scope.kind == "without" and "and" in joins and self._begins(scope, joins)):
            scope.pending = []
        else:
            scope.pending.append(mention)

    def _begins(self, scope: Scope, joins: frozenset[str]) -> bool:
        """Whether nothing stands before a negation that an "and" after it could add to: "A without B and C"."""
        first = scope.mentions[0]
        before = self.mentions[: self.mentions.index(first)]
        return "adding" not in joins and (not before or bool({"end", "comma"} & first.joins))


def _ordinary(phrase: Phrase) -> bool:
    return phrase.concept is not None and set(phrase.concept.asks) <= ORDINARY and bool(phrase.concept.asks)


def _likely(phrase: Phrase) -> bool:
    return bool(HALF_CERTAIN & set(phrase.words))


def _infarction(phrase: Phrase) -> bool:
    concept = phrase.concept
    return concept is not None and any(is_infarction(code) for code in (*concept.asks, *concept.excludes))


def is_infarction(code: str) -> bool:
    """Whether a statement is an infarction, as those that end so are: IMI, ASMI …"""
    return code.endswith(INFARCTION)
