"""Statements that a free-text report makes, in English and German.

A report is not a request of a cohort, which is followed whole or refused: it is read for what it says, and words that
are not known are passed over. The algorithm is NegEx's (Chapman et al., J Biomed Inform 34:301, 2001): findings are
looked for, then triggers of negation and doubt that stand directly before or after them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from warehouse.statements import MAY_BE_NORMAL

CERTAIN: Final = 100.0
LONGEST: Final = 20_000
"""Characters of a report; nobody writes a longer one."""
FINDINGS_FILE: Final = "free_text.yaml"
_PLAIN: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "a", "ß": "ss", "é": "e", "’": "'"})
_GAP: Final = (
    r"[ \t]+(?:(?:a|an|the|of|for|any|old|recent|acute|alter|akuter?|minor|slight|marked|is|are|to)[ \t]+){0,2}"
)
_JOINED: Final = re.compile(r"[ ]*(?:,|/|or|and|oder|und|nor)[ ]+(?:[a-z-]+ ){0,1}")


Findings = Sequence[tuple[tuple[str, ...], re.Pattern[str]]]
"""Names of findings and the pattern of words that mean them."""


@dataclass(frozen=True)
class FreeText:
    """What a report says.

    Attributes:
        likelihoods: statement that it makes to how likely it holds it, in percent: 100, or 80 or 50 where it doubts.
        excluded: statements that it denies.
    """

    likelihoods: dict[str, float]
    excluded: tuple[str, ...]


@dataclass(frozen=True)
class _Finding:
    statements: tuple[str, ...]
    start: int
    end: int


def plain(report: str) -> str:
    """A report in lower case, without accents and line breaks; sentences still end in ". "."""
    lines = re.sub(r"\s*\n\s*", " ", report.lower().translate(_PLAIN))
    return re.sub(r"\s+", " ", lines).strip()


def read_free_text(report: str) -> FreeText:
    """The statements of a report, the surest mention of each counting. Unknown words are passed over.

    Of a report of more than `LONGEST` characters nothing is read.
    """
    likelihoods: dict[str, float] = {}
    excluded: list[str] = []
    for statements, likelihood in mentions(report, _rules().findings):
        for code in statements:
            if likelihood is None:
                excluded.append(code)
            else:
                likelihoods[code] = max(likelihood, likelihoods.get(code, 0.0))
    if not likelihoods.keys() <= MAY_BE_NORMAL | {"NORM"}:
        # "Otherwise normal", after something that is not.
        likelihoods.pop("NORM", None)
    return FreeText(likelihoods, tuple(dict.fromkeys(code for code in excluded if code not in likelihoods)))


def mentions(report: str, findings: Findings) -> list[tuple[tuple[str, ...], float | None]]:
    """What a report says of some findings, in the order of its text.

    Args:
        report: as written; of one of more than `LONGEST` characters nothing is read.
        findings: what they are called here, and a pattern of a `plain` text; what one has matched is hidden from those
            after it.

    Returns:
        Names of a finding, and how likely the report holds it, in percent; None where it denies it.
    """
    rules, text = _rules(), plain(report) if len(report) <= LONGEST else ""
    found: list[tuple[tuple[str, ...], float | None]] = []
    last: tuple[_Finding, float | None] | None = None
    for finding in _findings(text, findings):
        last = finding, _likelihood(text, finding, rules, last)
        found.append((finding.statements, last[1]))
    return found


@dataclass(frozen=True)
class _Rules:
    findings: Findings
    doubt_before: Sequence[tuple[float, re.Pattern[str]]]
    doubt_after: Sequence[tuple[float, re.Pattern[str]]]
    negated_before: re.Pattern[str]
    negated_after: re.Pattern[str]


@cache
def _rules() -> _Rules:
    written: dict[str, Any] = yaml.safe_load(
        resources.files(__package__).joinpath(FINDINGS_FILE).read_text(encoding="utf-8")
    )
    findings: list[tuple[tuple[str, ...], re.Pattern[str]]] = []
    for statements, pattern in written["findings"]:
        if isinstance(statements, str):
            for place in written["places"]:
                filled = pattern.replace("{place}", f"(?:{place['place']})").replace("{ort}", f"(?:{place['ort']})")
                findings.append((tuple(place[statements.strip("{}")]), re.compile(rf"(?<![a-z-])(?:{filled})")))
        else:
            findings.append((tuple(statements), re.compile(pattern)))
    doubt, negation = written["doubt"], written["negation"]

    def before(words: str) -> re.Pattern[str]:
        return re.compile(rf"(?<![a-z])(?:{words}){_GAP}$")

    def after(words: str) -> re.Pattern[str]:
        return re.compile(rf" *[,(]? *(?:{words})(?![a-z])")

    return _Rules(
        findings,
        [(float(percent), before(words)) for percent, words in doubt["before"].items()],
        [(float(percent), after(words)) for percent, words in doubt["after"].items()],
        before(negation["before"]),
        after(negation["after"]),
    )


def _findings(text: str, findings: Findings) -> list[_Finding]:
    """Findings in order of the text; what one pattern has matched is hidden from those after it."""
    found = []
    for statements, pattern in findings:
        for match in pattern.finditer(text):
            found.append(_Finding(statements, *match.span()))
            text = text[: match.start()] + "\0" * (match.end() - match.start()) + text[match.end() :]
    return sorted(found, key=lambda one: one.start)


def _likelihood(
    text: str, finding: _Finding, rules: _Rules, last: tuple[_Finding, float | None] | None
) -> float | None:
    """How likely the report holds a finding, in percent; None where it denies it."""
    joined = last is not None and _JOINED.fullmatch(text[last[0].end : finding.start])
    inherited = last[1] if last is not None and joined else CERTAIN
    before, after = text[: finding.start], text[finding.end :]
    if rules.negated_after.match(after) or rules.negated_before.search(before):
        return None
    doubts = [percent for percent, words in rules.doubt_before if words.search(before)]
    doubts += [percent for percent, words in rules.doubt_after if words.match(after)]
    return min(doubts, default=inherited)
