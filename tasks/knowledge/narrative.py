"""The text of an entry, made of nothing but claims that survived the audit.

A model's own sentence is taken over only if all it says was checked: it holds its claims in their fixed words, all of
them were kept, the words between them assert nothing by themselves, and no long run of words is a report's. All other
surviving claims are stated in sentences of a fixed form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tasks.knowledge.audit import Verdict
from tasks.knowledge.claims import Claim
from tasks.knowledge.report_lines import Verbatim

LONGEST: Final = 120
"""Words of a narrative."""
MOST_TOLD: Final = 8
"""Subjects that a narrative tells at most."""
DISTINCTIVE: Final = 0.2
"""Difference of shares from which a claim sets a condition apart."""

_NEUTRAL_WORDS: Final = (
    "a about across all also an and are as at by characteristic commonly ecg ecgs feature features find finding "
    "findings for found frequently from generally has have here in include includes is it its measured most mostly of "
    "often on patients recording recordings seen show showing shown shows so tend tends that the their there these "
    "they this those to together typical typically usual usually when where which while with"
)
_NEUTRAL: Final = frozenset(_NEUTRAL_WORDS.split())
"""Words that assert nothing without a claim."""


def narrative(
    condition: str,
    names: Mapping[str, str],
    stated: Sequence[Verdict],
    verbatim: Verbatim,
    sentences: Sequence[str] = (),
) -> str:
    """The text of an entry: checked sentences of the model, then the other claims, each subject's most distinctive one.

    Args:
        condition: in words.
        names: statement code to its description.
        stated: claims to tell that no sentence tells; the least distinctive ones go where the text would be too long or
            would repeat a report.
        verbatim: the training reports.
        sentences: sentences that `checked_sentences` let through.
    """
    best: dict[tuple[str, str | None], Verdict] = {}
    for verdict in sorted(stated, key=lambda one: -one.distinction):
        best.setdefault(verdict.claim.subject, verdict)
    chosen = list(best.values())[:MOST_TOLD]
    while True:
        text = _assembled(condition, names, chosen, sentences)
        if not chosen or (len(text.split()) <= LONGEST and verbatim.repeated(text) is None):
            return text
        chosen.pop()


def checked_sentences(
    proposed: Sequence[tuple[str, tuple[Claim, ...]]],
    kept: Mapping[Claim, Verdict],
    condition: str,
    names: Mapping[str, str],
    verbatim: Verbatim,
) -> list[tuple[str, tuple[Claim, ...]]]:
    """The sentences, in order, of which everything was checked, at most `LONGEST` words in all."""
    found: list[tuple[str, tuple[Claim, ...]]] = []
    length = len(condition.split())
    for text, claims in proposed:
        sentence = " ".join(text.split()).rstrip(".") + "."
        sound = (
            all(claim in kept for claim in claims)
            and says_nothing_else(sentence, claims, condition, names)
            and verbatim.repeated(sentence) is None
        )
        if sound and length + len(sentence.split()) <= LONGEST and sentence not in [one for one, _ in found]:
            found.append((sentence, claims))
            length += len(sentence.split())
    return found


def says_nothing_else(sentence: str, claims: Sequence[Claim], condition: str, names: Mapping[str, str]) -> bool:
    """Whether a sentence consists of its claims in their fixed words, the condition's name and neutral words."""
    rest = " ".join(sentence.lower().split())
    for line in sorted((claim.line(names).lower() for claim in claims), key=len, reverse=True):
        # Bounded, so that "above 12" is not found in "above 120".
        rest, found = re.subn(rf"(?<![\w.-]){re.escape(line)}(?![\w-]|\.\d)", " ", rest, count=1)
        if not found:
            return False
    rest = rest.replace(condition.lower(), " ")
    return not re.search(r"\d", rest) and set(re.findall(r"[^\W\d_]+", rest)) <= _NEUTRAL


def _assembled(condition: str, names: Mapping[str, str], stated: Sequence[Verdict], sentences: Sequence[str]) -> str:
    apart = [one.claim.line(names) for one in stated if one.distinction >= DISTINCTIVE]
    common = [one.claim.line(names) for one in stated if one.distinction < DISTINCTIVE]
    name = condition[:1].upper() + condition[1:]
    written = [f"{name}. {' '.join(sentences)}"] if sentences else []
    if apart:
        written.append(f"{name if not written else 'Also'}, unlike most other recordings: {', '.join(apart)}.")
    if common:
        written.append(f"{name if not written else 'Also'}, like many other recordings: {', '.join(common)}.")
    return " ".join(written) or f"{name}: nothing measured is common to most of its recordings."
