"""Words of a text, spelled alike: case, plurals, British spelling, shorthand, typing mistakes."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Word:
    """A word as it is matched, and where its letters are in the text."""

    text: str
    start: int
    end: int


_WORD: Final = re.compile(
    r"w/o\b|w/|r/o\b|s/p\b|c/w\b|h/o\b|\+/-|±|\d+:\d+|\d+(?:\.\d+)?(?!\w)|[a-z0-9]+(?:['’][a-z]+)?|[^\s\w\"'“”‘*_~≈-]|\w+"
)
_SIGN: Final = re.compile(
    r"\(\s*[-–—+−~!]+\s*\)|(?<!\w)[-–—−~¬!]+(?=\w)|(?<=\w)[-–—−~]+(?!\w)|(?<!\S)[-–—−]+(?!\S)(?=\s*$)|\A\s*[-–—−]+(?=\s+\S)"
    r"|(?<=[:=])\s*[-–—−+]+(?!\w)|(?<!\S)[-–—−+]+(?=[ \t]*(?:$|[,;.)\n]))"
    r"|[~≈]|!=|(?<=\w)\++(?!\w)|(?<!\w)\++(?=\w)|\+\++"
)
"""Signs beside a word or in brackets, shorthand for absent or present; they are not understood."""
_MARK: Final = re.compile(r"\(s\)(?!\w)|\s[-–—]+\s|[,;.!?\n()/&+@:=]|(?<=\d)\s?°")
_SHORTHAND: Final = {
    "w/o": ["without"],
    "w/": ["with"],
    "w": ["with"],
    "r/o": ["rule", "out"],
    "s/p": ["history", "of"],
    "h/o": ["history", "of"],
    "c/w": ["consistent", "with"],
    "+/-": ["with", "or", "without"],
    "±": ["with", "or", "without"],
    "cannot": ["can", "not"],
    "&": ["and"],
    "+": ["and"],
    "@": ["at"],
    "!": ["."],
    "\n": ["."],
    ";": ["."],
    "=": [":"],
    "(s)": [],
    "°": ["degree"],
}
_SILENT: Final = {"the", "an", "a", "is", "are", "was", "were", "be", "been", "being"}
_KEPT: Final = {"ves", "sves", "sinus", "denies", "does", "unless"}


def words_of(text: str) -> list[Word]:
    """The words and marks of a text.

    Articles and forms of "to be" are left out; "isn't" is two words; "." stands for all ends of sentences, "-" for a
    dash between spaces.
    """
    lower = re.sub(r"\ba[ -]?fib\b", lambda found: found[0].replace(" ", "-"), text.lower().replace("’", "'"))
    words, at = [], 0
    while at < len(lower):
        sign = _SIGN.match(lower, at) if not lower.startswith(("+/-",), at) else None
        if sign is not None:
            words.append(Word(f"sign {sign[0].strip()}", *sign.span()))
            at = sign.end()
            continue
        found = _MARK.match(lower, at) if not lower.startswith(("+/-",), at) else None
        if found is None:
            found = _WORD.match(lower, at)
        if found is None:
            at += 1
            continue
        start, end = found.span()
        written = found[0].strip(" \t")
        if written == "a" and lower[at : at + 5] == "a-fib":
            written, end = "afib", at + 5
        at = end
        for one in _spelled(written, lower, start, end):
            if one not in _SILENT:
                words.append(Word(one, start, end))
    return words


def _spelled(written: str, lower: str, start: int, end: int) -> list[str]:
    if written == "?":
        # Before a word it doubts that word, after one it doubts the one before; alone it ends a sentence.
        first = not re.search(r"[^\s,;.(]\s*$", lower[:start])
        return ["possible"] if re.match(r"\s*\w" if first else r"\w", lower[end:]) else ["doubtful"]
    if written in _SHORTHAND:
        return _SHORTHAND[written]
    if set(written) <= set("-–—"):
        return ["-"]
    if written.endswith("n't"):
        stem = {"can't": "can", "won't": "will"}.get(written, written[:-3])
        return [stem, "not"]
    if written.endswith("'s"):
        written = written[:-2]
    return [singular(written.replace("'", ""))]


_TO_BE_OR_DO: Final = r"(?:is|are|was|were|be|been|do|does|did|has|have|had|can|could|may|might|will|would|should|must)"
_ELLIPSIS: Final = re.compile(
    rf"\b(?:so|as) {_TO_BE_OR_DO}\b"
    rf"|\b(?:{_TO_BE_OR_DO}|also|as well)(?=\s*(?:[,.;:!?)\n]|$|(?:and|or|but|too|also|though|although|while)\b))"
)


def ellipses(text: str) -> list[str]:
    """Verbs and adverbs that repeat what an earlier clause says: "A is not excluded, B is", "so is B", "B also"."""
    return [found[0] for found in _ELLIPSIS.finditer(text.lower())]


def singular(word: str) -> str:
    """A word in singular and American spelling."""
    word = re.sub(r"aem", "em", word)
    word = re.sub(r"isation", "ization", word)
    word = re.sub(r"(?<=[lrn])is(ed|ing)$", r"iz\1", word)
    if len(word) < 4 or not word.isalpha() or word in _KEPT or re.search(r"(ss|us|is)$", word):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("xes"):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def corrected(word: str, known: Collection[str]) -> str | None:
    """The one known word that a typing mistake may have stood for; None where there is none or more than one.

    One mistake (a letter too many, too few, another, or two swapped) from 5 letters, two from 9; none in the first
    letter, which people rarely mistype.
    """
    if len(word) < 5 or not word.isalpha():
        return None
    allowed = 1 if len(word) < 9 else 2
    near: dict[int, set[str]] = {}
    for one in known:
        if (
            len(one) >= 4
            and one[0] == word[0]
            and abs(len(one) - len(word)) <= allowed
            and (mistakes := distance(word, one)) <= allowed
        ):
            near.setdefault(mistakes, set()).add(one)
    best = near[min(near)] if near else set()
    return best.pop() if len(best) == 1 else None


def distance(one: str, other: str) -> int:
    """Letters to insert, delete, replace or swap with a neighbour.

    Optimal string alignment (Damerau, Communications of the ACM 7:171, 1964).
    """
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, start=1):
        row = [i]
        for j, b in enumerate(other, start=1):
            cost = min(row[j - 1] + 1, rows[-1][j] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
