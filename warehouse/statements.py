"""The one vocabulary of ECG statements (`statements.yaml`): what a code of a source means, and what we call it.

Sources write SCP-ECG, SNOMED CT, AHA or HL7 codes, or phrases. A reader looks each up here and yields ours; a code that
the vocabulary lacks is kept under its own name (`foreign`), counted and listed in the table `statements`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from models.superclasses import SUPERCLASSES

AXIS_VIEW: Final = "axis"
"""The coded view that heart axes are: they are no statements."""

POSSIBLE, PROBABLE, CERTAIN, UNKNOWN = 15.0, 50.0, 100.0, 0.0
"""Likelihoods in percent that words of doubt stand for, in PTB-XL's steps; 0 means that none is stated."""
AHA_LIKELIHOOD: Final = {"301": POSSIBLE, "302": POSSIBLE, "312": POSSIBLE, "315": PROBABLE}
"""AHA modifiers borderline, consider, possible and probable (Mason et al. 2007, doi
10.1161/CIRCULATIONAHA.106.180201)."""
_DOUBT: Final = (
    (r"(?:possible|consider|cannot rule out|can not rule out|suspect|suspected|borderline|questionable)\s+", POSSIBLE),
    (r"(?:probable|probably|likely|suggests|suggestive of)\s+", PROBABLE),
)
_AGE_OF_INFARCT: Final = re.compile(
    r"\s*[-,]?\s*(?:of )?"
    r"(?:age (?:undetermined|indeterminate)|undetermined age|old|recent|acute|possibly (?:acute|recent|old))$"
)
_NEGATED: Final = re.compile(
    r"\b(?:no|not|without|absent|absence|negative|never|denies|nor|unlikely|ruled out|excluded)\b"
)
_JOINED: Final = re.compile(r"\s*(?:,|;|/|\+|\bwith\b|\band\b)\s*")
LONGEST_PHRASE: Final = 200
"""Characters of a report's line; a longer one is prose, which is not read as a phrase."""


MAY_BE_NORMAL: Final = frozenset(
    {
        "SR",
        "SBRAD",
        "STACH",
        "SARRH",
        "SVARR",
        "PVC",
        "PAC",
        "PRC(S)",
        "BIGU",
        "TRIGU",
        "LVOLT",
        "HVOLT",
        "VCLVH",
        "IRBBB",
    }
)
"""Rhythms, extra beats, voltages and the incomplete block of young hearts, which PTB-XL gives beside a normal ECG."""


@dataclass(frozen=True)
class Statement:
    """A statement, or a heart axis; codes of other vocabularies are tuples of strings."""

    code: str
    description: str
    kind: str = ""
    superclass: str = ""
    rhythm: str = ""
    axis: bool = False
    broader: tuple[str, ...] = ()
    snomed: tuple[str, ...] = ()
    aha: tuple[str, ...] = ()
    aecg: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stated:
    """A statement that a source makes, with its likelihood in percent."""

    statement: Statement
    likelihood: float


@dataclass(frozen=True)
class Statements:
    """The vocabulary, by code of each kind and by phrase."""

    by_code: dict[str, Statement]
    """Statements in the order of the file; heart axes are not among them."""
    axes: dict[str, Statement]
    _by_snomed: dict[str, Statement] = field(repr=False)
    _by_aha: dict[str, Statement] = field(repr=False)
    _by_aecg: dict[str, Statement] = field(repr=False)
    _by_phrase: dict[str, Statement] = field(repr=False)

    def with_broader(self, codes: Iterable[str]) -> frozenset[str]:
        """Statements and all that are true wherever they are: `MOBITZI`, `2AVB` and `AVB` of `MOBITZI`."""
        found: set[str] = set()
        new = {*codes}
        while new:
            found |= new
            new = {more for code in new if code in self.by_code for more in self.by_code[code].broader} - found
        return frozenset(found)

    def with_narrower(self, codes: Iterable[str]) -> frozenset[str]:
        """Statements and all that are true nowhere if they are not."""
        wanted = frozenset(codes)
        return wanted | {code for code in self.by_code if not wanted.isdisjoint(self.with_broader([code]))}

    def of_snomed(self, concept: str) -> Statement | None:
        """The statement of a SNOMED CT concept."""
        return self._by_snomed.get(concept)

    def of_aecg(self, code: str) -> Statement | None:
        """The statement of an HL7 aECG code."""
        return self._by_aecg.get(code)

    def of_aha(self, code: str) -> Stated | None:
        """What an AHA code with its modifiers says, e.g. `148+312`; modifiers that change nothing here are left out."""
        base, *modifiers = code.split("+")
        whole = [f"{base}+{modifier}" for modifier in modifiers] + [base]
        found = next((self._by_aha[one] for one in whole if one in self._by_aha), None)
        doubts = [AHA_LIKELIHOOD[one] for one in modifiers if one in AHA_LIKELIHOOD]
        return Stated(found, min(doubts, default=CERTAIN)) if found else None

    def of_phrase(self, phrase: str) -> Statement | None:
        """The statement that a phrase names, compared without case, blanks and punctuation."""
        return self._by_phrase.get(normalised(phrase))

    def of_label(self, label: str) -> Statement | None:
        """The statement of a label that may be our code, a SNOMED CT concept, or a phrase."""
        label = label.strip()
        return self.by_code.get(label) or self.of_snomed(label) or self.of_phrase(label)

    def read_line(self, line: str) -> tuple[list[Stated], bool]:
        """What a line of a machine's report states.

        Machines write few phrases, so a line is read whole, or piece by piece where "with", "and" or a comma joins
        pieces; a line that denies anything is not read. Doubt ("possible", "cannot rule out", "probable") is
        likelihood.

        Returns:
            Statements in the line's order, and whether all of the line was understood.
        """
        if len(line) > LONGEST_PHRASE:
            return [], False
        text = " ".join(line.lower().split()).rstrip(". ")
        if whole := self._read_piece(text):
            return [whole], True
        if _NEGATED.search(text):
            return [], False
        read: list[Stated | None] = []
        likelihood = CERTAIN
        for piece in filter(None, _JOINED.split(text)):
            # What follows a doubt may be in doubt, too: "possible A and B".
            read.append(stated := self._read_piece(piece, likelihood))
            likelihood = stated.likelihood if stated else likelihood
        return [one for one in read if one], bool(read) and all(read)

    def _read_piece(self, piece: str, likelihood: float = CERTAIN) -> Stated | None:
        for doubt, percent in _DOUBT:
            if found := re.match(doubt, piece):
                piece, likelihood = piece[found.end() :], min(percent, likelihood)
                break
        statement = self.of_phrase(piece) or self.of_phrase(_AGE_OF_INFARCT.sub("", piece))
        return Stated(statement, likelihood) if statement else None


@lru_cache(maxsize=1)
def statements() -> Statements:
    """The vocabulary of `statements.yaml`."""
    import yaml

    written = yaml.load(Path(__file__).with_suffix(".yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    by_code = {str(code): _statement(str(code), said) for code, said in written["statements"].items()}
    axes = {str(code): _statement(str(code), said, axis=True) for code, said in written["axes"].items()}
    everything = [*by_code.values(), *axes.values()]
    named = {normalised(name): one for one in everything for name in one.names}
    return Statements(
        by_code,
        axes,
        {code: one for one in everything for code in one.snomed},
        {code: one for one in everything for code in one.aha},
        {code: one for one in everything for code in one.aecg},
        # A phrase that a source writes goes before a name that clinicians use.
        named | {normalised(phrase): one for one in everything for phrase in (one.description, *one.phrases)},
    )


def _statement(code: str, said: dict[str, Any], axis: bool = False) -> Statement:
    fields: dict[str, Any] = {
        name: tuple(map(str, value)) if isinstance(value, list) else value for name, value in said.items()
    }
    return Statement(code=code, axis=axis, **fields)


def normalised(phrase: str) -> str:
    """A phrase in lower case, of letters and digits, words separated by one blank."""
    return " ".join(re.findall(r"[^\W_]+", phrase.lower()))


def foreign(vocabulary: str, code: str) -> str:
    """The code under which a statement is kept that the vocabulary lacks, e.g. `SNOMED:251139008`."""
    return f"{vocabulary}:{code.strip()[:LONGEST_PHRASE]}"


def superclasses_of(codes: list[str]) -> tuple[str, ...]:
    """Diagnostic superclasses of statements, in the order of `SUPERCLASSES`."""
    known = statements().by_code
    held = {known[code].superclass for code in codes if code in known}
    return tuple(name for name in SUPERCLASSES if name in held)
