"""What sources write of people: ages, sexes, identifiers. What is not understood is unknown, never a guess."""

from __future__ import annotations

import math
import re

OLDEST_STATED_YEARS = 89.0
OLDER_THAN_STATED_YEARS = 90.0
OLDER_THAN_STATED_MARK = 300.0
OLDEST_PLAUSIBLE_YEARS = 120.0
YEARS_PER_UNIT = {"": 1.0, "y": 1.0, "j": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
_AGE = re.compile(
    r"(\d{1,6}(?:[.,]\d*)?)\s*(|y|yr|yrs|years?|j|jahre?|m|mo|months?|monate?|w|wk|weeks?|wochen?|d|days?)", re.ASCII
)
_SEXES = {
    "0": "male",
    "m": "male",
    "male": "male",
    "man": "male",
    "männlich": "male",
    "1": "female",
    "f": "female",
    "female": "female",
    "woman": "female",
    "w": "female",
    "weiblich": "female",
}
_NOBODY = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "nat", "unknown", "-", "?"})
_NUMBER = re.compile(r"(\d+)(?:\.0*)?", re.ASCII)


def age_years(text: str) -> float | None:
    """An age in years; 90 stands for older than 89. None for what is no age up to 120 years, such as -5 or "adult".

    It may be written with a decimal comma, and in months, weeks or days (`6m`, as DICOM does).
    """
    found = _AGE.fullmatch(text.strip().lower())
    if found is None:
        return None
    unit = found[2][:1]
    age = float(found[1].replace(",", ".")) * YEARS_PER_UNIT[unit]
    if (age == OLDER_THAN_STATED_MARK and not unit) or OLDEST_STATED_YEARS < age <= OLDEST_PLAUSIBLE_YEARS:
        return OLDER_THAN_STATED_YEARS
    return age if age <= OLDEST_STATED_YEARS else None


def sex(text: str) -> str | None:
    """female, male, or None for anything else. Numbers are PTB-XL's: 0 is male, 1 is female."""
    return _SEXES.get(text.strip().lower().removesuffix(".0"))


def patient_id(text: str) -> str:
    """An identifier, spelt in one way: `15709`, `015709`, `15709.0` and `1.5709e4` are one patient.

    Empty for what only says that nobody is named, such as `nan`: such records would be one patient's otherwise.
    """
    name = " ".join(text.split())
    if name.lower() in _NOBODY:
        return ""
    if whole := _NUMBER.fullmatch(name):
        return whole[1].lstrip("0") or "0"
    if re.fullmatch(r"\d+\.?\d*[eE]\+?\d{1,2}", name, re.ASCII):
        value = float(name)
        return str(int(value)) if math.isfinite(value) and value == int(value) and value < 2**53 else name
    return name
