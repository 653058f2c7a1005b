"""Machine-checkable claims: one measured feature, compared with a number, said in one fixed form of words.

    QRS duration above 120 ms
    heart rate between 60 and 100 bpm
    ST level below -0.1 mV in the inferior leads
    T amplitude above 0 mV in lead V2
    P wave absent
    together with sinus rhythm

A language model writes such lines, `parse_claim` reads them, and `tasks.knowledge.audit` checks them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, model_validator

from models.evaluation.delivery import Comparison
from models.leads import LEAD_GROUPS, STANDARD_LEADS

STATEMENT_PREFIX: Final = "statement:"
"""Marks the feature of a claim that another statement is made of the same recordings, e.g. "statement:SR"."""


@dataclass(frozen=True)
class Feature:
    """A measured feature and the cut-offs at which clinicians divide it.

    Attributes:
        words: its name in a claim.
        unit: unit of its values; empty for a ratio.
        cutoffs: values that a claim may compare it with.
        normal: usual range in adults, which a "between" claim may name.
        per_lead: measured on each lead.
        plausible: values outside this range are not accepted in a claim.
    """

    words: str
    unit: str
    cutoffs: tuple[float, ...]
    plausible: tuple[float, float]
    normal: tuple[float, float] | None = None
    per_lead: bool = False


# Cut-offs: AHA/ACCF/HRS recommendations for the standardization and interpretation of the ECG, parts III to VI (2009);
# 0.1 and 0.15 divide regular from irregular rhythms by the coefficient of variation of RR.
FEATURES: Final[dict[str, Feature]] = {
    "heart_rate_bpm": Feature("heart rate", "bpm", (50, 60, 80, 100, 120), (10, 400), normal=(60, 100)),
    "rr_irregularity": Feature("RR irregularity", "", (0.05, 0.1, 0.15), (0, 3)),
    "pr_ms": Feature("PR interval", "ms", (120, 160, 200, 220), (20, 600), normal=(120, 200)),
    "qrs_ms": Feature("QRS duration", "ms", (100, 110, 120, 140), (20, 400), normal=(70, 110)),
    "qt_ms": Feature("QT interval", "ms", (360, 400, 440), (100, 900)),
    "qtc_ms": Feature("QTc interval", "ms", (390, 420, 450, 480), (150, 900), normal=(360, 450)),
    "axis_deg": Feature("QRS axis", "degrees", (-30, 0, 60, 90), (-180, 180), normal=(-30, 90)),
    "st_level_mv": Feature(
        "ST level", "mV", (-0.1, -0.05, 0.05, 0.1, 0.2), (-5, 5), normal=(-0.05, 0.05), per_lead=True
    ),
    "r_amplitude_mv": Feature("R amplitude", "mV", (0.2, 0.5, 1, 1.5, 2), (0, 20), per_lead=True),
    "t_amplitude_mv": Feature("T amplitude", "mV", (-0.1, 0, 0.1, 0.3, 0.5), (-5, 5), normal=(0.1, 0.5), per_lead=True),
}
P_WAVE: Final = "p_present"
P_WAVE_WORDS: Final = "P wave"

_BY_WORDS = {feature.words.lower(): name for name, feature in FEATURES.items()}
_NUMBER = r"([-−+]?\d+(?:\.\d+)?)"
_LINE = re.compile(
    rf"^({'|'.join(map(re.escape, _BY_WORDS))})(?: is)? (?:(above|below) {_NUMBER}|between {_NUMBER} and {_NUMBER})"
    r" ?(bpm|ms|degrees|mV)?(?: in (?:lead (\w+)|the (\w+) leads))?$",
    re.IGNORECASE,
)


class Claim(BaseModel):
    """A claim about the recordings of a condition.

    Attributes:
        feature: measured feature, or "statement:CODE".
        lead: a standard lead, a territory of `LEAD_GROUPS` (the mean over its leads), or None for features that are not
            measured per lead.
        comparison: "above" and "below" a value, "between" two, or "present" and "absent".
        value: the number compared with, the lower one of two; 1 for present, 0 for absent.
        upper: the higher number of "between".
        unit: unit of value and upper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str
    lead: str | None = None
    comparison: Comparison
    value: float
    upper: float | None = None
    unit: str = ""

    @model_validator(mode="after")
    def _makes_sense(self) -> Claim:
        if self.feature == P_WAVE or self.feature.startswith(STATEMENT_PREFIX):
            if self.comparison not in ("present", "absent") or self.lead is not None:
                raise ValueError(f"{self.feature} is present or absent, in no lead in particular")
            return self
        feature = FEATURES.get(self.feature)
        if feature is None:
            raise ValueError(f"{self.feature!r} is not a measured feature")
        if self.comparison not in ("above", "below", "between") or self.unit != feature.unit:
            raise ValueError(f"{self.feature} is above, below or between values in {feature.unit or 'no unit'}")
        if feature.per_lead != (self.lead in (*STANDARD_LEADS, *LEAD_GROUPS)):
            raise ValueError(
                f"{self.feature} is {'measured per lead' if feature.per_lead else 'not measured per lead'}"
            )
        if (self.comparison == "between") != (self.upper is not None):
            raise ValueError("'between' takes two values, the others one")
        low, high = feature.plausible
        if not low <= self.value <= (self.upper if self.upper is not None else self.value) <= high:
            raise ValueError(
                f"{self.feature} of {self.value:g} {feature.unit} is not plausible, or its range is reversed"
            )
        return self

    @property
    def subject(self) -> tuple[str, str | None]:
        """What the claim is about, whatever it says of it."""
        return self.feature, self.lead

    def line(self, names: Mapping[str, str]) -> str:
        """The claim in its fixed form of words.

        Args:
            names: statement code to its description.
        """
        if self.feature == P_WAVE:
            return f"{P_WAVE_WORDS} {self.comparison}"
        if self.feature.startswith(STATEMENT_PREFIX):
            code = self.feature.removeprefix(STATEMENT_PREFIX)
            return f"{'together with' if self.comparison == 'present' else 'without'} {names.get(code, code)}"
        limits = f"{self.value:g}" if self.upper is None else f"{self.value:g} and {self.upper:g}"
        where = (
            ""
            if self.lead is None
            else f" in the {self.lead} leads"
            if self.lead in LEAD_GROUPS
            else f" in lead {self.lead}"
        )
        return f"{FEATURES[self.feature].words} {self.comparison} {limits} {self.unit}".rstrip() + where


def parse_claim(line: str, names: Mapping[str, str]) -> Claim | None:
    """Read one line of a model's answer; None when it is not a claim in the fixed form.

    Args:
        line: the line; bullets, numbering, case and a full stop at the end do not matter.
        names: statement code to its description.
    """
    text = " ".join(re.sub(r"^\s*(?:[-*•]|\d+[.)])\s+", "", line).strip().rstrip(".").replace("−", "-").split())
    words = text.lower()
    if words in (f"{P_WAVE_WORDS} present".lower(), f"{P_WAVE_WORDS} absent".lower()):
        here = words.endswith("present")
        return Claim(feature=P_WAVE, comparison="present" if here else "absent", value=float(here))
    for opening, comparison, value in (("together with ", "present", 1.0), ("without ", "absent", 0.0)):
        if words.startswith(opening):
            named = [code for code, name in names.items() if name.lower() == words.removeprefix(opening)]
            return Claim(feature=STATEMENT_PREFIX + named[0], comparison=comparison, value=value) if named else None  # type: ignore[arg-type]
    found = _LINE.match(text)
    if found is None:
        return None
    words, comparison, single, low, high, unit, lead, group = found.groups()
    name = _BY_WORDS[words.lower()]
    try:
        return Claim(
            feature=name,
            lead=_lead_named(lead, group),
            comparison=(comparison or "between").lower(),  # type: ignore[arg-type]
            value=float(single or low),
            upper=None if high is None else float(high),
            unit=FEATURES[name].unit if (unit or "").lower() == FEATURES[name].unit.lower() else "wrong",
        )
    except ValueError:
        return None


def _lead_named(lead: str | None, group: str | None) -> str | None:
    if lead:
        return next((name for name in STANDARD_LEADS if name.lower() == lead.lower()), lead)
    return group.lower() if group else None


def candidate_claims(statements: tuple[str, ...]) -> Iterator[Claim]:
    """Every claim that can be made with the usual cut-offs, true or not.

    Args:
        statements: codes of statements that a claim may say are made together with the condition.
    """
    for name, feature in FEATURES.items():
        for lead in (*LEAD_GROUPS, *STANDARD_LEADS) if feature.per_lead else (None,):
            if feature.normal:
                low, high = feature.normal
                yield Claim(feature=name, lead=lead, comparison="between", value=low, upper=high, unit=feature.unit)
            for cutoff in feature.cutoffs:
                yield Claim(feature=name, lead=lead, comparison="above", value=cutoff, unit=feature.unit)
                yield Claim(feature=name, lead=lead, comparison="below", value=cutoff, unit=feature.unit)
    yield Claim(feature=P_WAVE, comparison="present", value=1)
    yield Claim(feature=P_WAVE, comparison="absent", value=0)
    for code in statements:
        yield Claim(feature=STATEMENT_PREFIX + code, comparison="present", value=1)
