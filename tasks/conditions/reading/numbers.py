"""Numbers of a text: heart rate, age, sex beside an age, heart axis, intervals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rate:
    """Heart rates in bpm; an end that is None is open."""

    low: float | None
    high: float | None

    @classmethod
    def of(cls, written: str) -> Rate:
        """From "72", "70-80", ">100", "<=60"."""
        if found := re.fullmatch(r"([<>])=?(\d+(?:\.\d+)?)", written):
            value = float(found[2])
            return cls(value, None) if found[1] == ">" else cls(None, value)
        low, _, high = written.partition("-")
        return cls(float(low), float(high or low))

    @property
    def number(self) -> float:
        """The rate that stands for all of them: the middle, or one well inside an open end."""
        if self.low is None or self.high is None:
            return self.low + 20 if self.low is not None else max((self.high or 0) - 10, 20)
        return (self.low + self.high) / 2

    def __and__(self, other: Rate) -> Rate | None:
        """The rates in both; None where there are none."""
        low = max((one for one in (self.low, other.low) if one is not None), default=None)
        high = min((one for one in (self.high, other.high) if one is not None), default=None)
        return None if low is not None and high is not None and low > high else Rate(low, high)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"above {self.low:g} bpm" if self.low is not None else f"below {self.high:g} bpm"
        return f"{self.low:g} bpm" if self.low == self.high else f"{self.low:g} to {self.high:g} bpm"


@dataclass(frozen=True)
class Found:
    """A number of a text, and where it stands.

    Attributes:
        kind: rate, age, axis, interval or leads.
        start, end: its place in the text.
        rate, age, sex, axis_deg, interval, ms: what it says, in bpm, years, degrees and milliseconds.
        within: heart rates that its words allow ("slow").
    """

    kind: str
    start: int
    end: int
    rate: Rate | None = None
    age: float | None = None
    sex: str | None = None
    axis_deg: float | None = None
    interval: str = ""
    ms: Rate | None = None
    within: str = ""


_N: Final = r"(\d{1,3}(?:\.\d+)?)"
_BOUND: Final = (
    r"(?:(?P<over>over|above|greater than|more than|faster than|higher than|at least|exceeding|>=?|≥)"
    r"|(?P<under>below|under|less than|slower than|lower than|at most|up to|<=?|≤))"
)
_ABOUT: Final = (
    r"(?:\s*(?:of|is|at|was|about|around|approximately|approx\.?|roughly|ca\.?|circa|between|a|:|=|~|@|,))*\s*"
)
_SPAN: Final = rf"{_N}(?:\s*(?:-|–|to|and)\s*{_N})?"
_PER_MINUTE: Final = r"\s*(?:bpm|b\.p\.m\.|beats?\s*(?:per|/|a)\s*min(?:ute)?|(?:/|per)\s*min(?:ute)?)(?!\w)"
_MS: Final = r"\s*(?P<unit>ms|msec|milliseconds?|millisec|seconds?|sec|s)?(?!\w)"
_SEX_WORD: Final = r"(?P<sex>female|male|woman|man|lady|gentleman|girl|boy|f|m)"
_RATE_WORD: Final = (
    r"\b(?:(?:(?P<fast>rapid|fast)|(?P<slow>slow))\s+)?(?:(?:heart|ventricular|pulse|resting|mean|average)\s+)*"
    r"(?:rate|hr|pulse|frequency)\b"
)

_LEAD: Final = r"(?:i{1,3}|av[rlf]|v\s?[1-9]r?)(?!\w)"
_NO_LEAD: Final = "".join(rf"(?<!{word} )" for word in ("stage", "type", "grade", "mobitz", "block", "degree", "avb"))
_MORE_LEADS: Final = rf"(?:\s*(?:,|/|&|-|–|and|or|to|through|,\s*and)?\s*(?:{_LEAD}|[1-9](?!\w)))"

_PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "age",
        re.compile(
            rf"\b(?:(?:aged?|between)\s+)*{_N}\s*(?:-|–|to|and)\s*{_N}[\s-]*(?:years?|yrs?|y\.?\s*/?\s*o\.?|y)(?![a-z/])"
            rf"(?:[\s-]*(?:old|of\s+age|o)(?!\w))?(?:[\s,-]*(?P<sex>f|m)(?!\w))?"
        ),
    ),
    ("age", re.compile(rf"\b(?:aged?){_ABOUT}{_N}\s*(?:-|–|to|and)\s*{_N}(?!\w)")),
    ("months", re.compile(rf"\b{_N}[\s-]*(?:months?|mo)[\s-]*old\b")),
    (
        "age",
        re.compile(
            rf"\b{_N}[\s-]*(?:years?|yrs?|y\.?\s*/?\s*o\.?|y)(?![a-z/])(?:[\s-]*(?:old|of\s+age|o)(?!\w))?"
            rf"(?:[\s,-]*(?P<sex>f|m)(?!\w))?"
        ),
    ),
    (
        "age",
        re.compile(rf"\b(?:aged?|aet\.?){_ABOUT}{_N}(?!\w)(?:[\s-]*(?:years?|yrs?|y)(?!\w))?(?:[\s-]*(?:old)(?!\w))?"),
    ),
    ("age", re.compile(rf"\b{_N}\s?(?P<sex>f|m)\b")),
    (
        "leads",
        re.compile(
            rf"{_NO_LEAD}(?:\bleads?\s+{_LEAD}{_MORE_LEADS}*|\b(?:v\s?[1-9]|av[rlf])(?!\w){_MORE_LEADS}*|\b{_LEAD}{_MORE_LEADS}+)"
        ),
    ),
    (
        "axis",
        re.compile(
            rf"\b(?:qrs\s+|heart\s+|electrical\s+)?axis{_ABOUT}(?P<deg>[+−-]?\d{{1,3}})(?!\d)\s*(?:°|deg(?:rees?)?\b)?"
        ),
    ),
    (
        "interval",
        re.compile(
            rf"\b(?P<interval>pr|pq|qrs|qtc|qt)(?:[\s-]*(?:interval|duration|width|time|complex))?{_ABOUT}{_BOUND}?\s*(?P<low>\d+(?:\.\d+)?)"
            rf"(?:\s*(?:-|–|to)\s*(?P<high>\d+(?:\.\d+)?))?{_MS}"
        ),
    ),
    ("rate", re.compile(rf"{_RATE_WORD}{_ABOUT}{_BOUND}?{_ABOUT}{_SPAN}(?:{_PER_MINUTE}|(?![\w.]*\w))")),
    ("rate", re.compile(rf"(?:\b(?:with|at|of)\s+)?(?:\bbetween\s+)?{_BOUND}?\s*(?<![\w.-]){_SPAN}{_PER_MINUTE}")),
    (
        "rate",
        re.compile(
            rf"(?:\bat|@)\s+(?:about\s+|around\s+)?{_BOUND}?\s*{_SPAN}(?!\s*(?:ms|mv|mm|years?|yrs?|y|deg|°|%|:)|\s*(?:or|/)\s*\d|[\w.:]*\w)"
        ),
    ),
    ("age", re.compile(rf"\b{_SEX_WORD}\s*,?\s+(?:aged?\s+)?{_N}(?!\s*(?:bpm|/|ms|mm)|\w)")),
)


def numbers_of(text: str) -> list[Found]:
    """The numbers of a text in order, never two at the same place; what is written first in `_PATTERNS` counts."""
    lower, found = text.lower(), list[Found]()
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(lower):
            if all(match.end() <= other.start or match.start() >= other.end for other in found):
                found.append(_read(kind, match))
    return sorted(found, key=lambda one: one.start)


def _read(kind: str, match: re.Match[str]) -> Found:
    parts, (start, end) = match.groupdict(), match.span()
    numbers = [float(one) for one in match.groups() if one and re.fullmatch(r"\d+(\.\d+)?", one)]
    sex = {"f": "female", "woman": "female", "lady": "female", "girl": "female", "female": "female"}.get(
        parts.get("sex") or "", "male" if parts.get("sex") else None
    )
    if kind == "leads":
        return Found("leads", start, end)
    if kind == "months":
        return Found("age", start, end, age=round(numbers[0] / 12, 2))
    if kind == "age":
        return Found("age", start, end, age=sum(numbers) / len(numbers), sex=sex)
    if kind == "axis":
        return Found("axis", start, end, axis_deg=float(match["deg"].replace("−", "-")))
    if kind == "interval":
        unit = 1000 if (match["unit"] or "ms").startswith("s") and numbers[0] < 10 else 1
        return Found(
            "interval", start, end, interval=match["interval"], ms=_range(parts, [one * unit for one in numbers])
        )
    within = ">100" if parts.get("fast") else "<60" if parts.get("slow") else ""
    return Found("rate", start, end, rate=_range(parts, numbers), within=within)


def _range(parts: dict[str, str | None], numbers: list[float]) -> Rate:
    if parts.get("over"):
        return Rate(numbers[0], None)
    if parts.get("under"):
        return Rate(None, numbers[0])
    return Rate(numbers[0], numbers[-1])


def axis_of(degrees: float) -> str:
    """PTB-XL's name of an electrical axis of the QRS complex in degrees; left beyond -30, right beyond 90."""
    degrees = (degrees + 180) % 360 - 180
    if -30 <= degrees <= 90:
        return "MID"
    if -90 < degrees < -30:
        return "LAD"
    return "RAD" if degrees > 90 else "ARAD"
