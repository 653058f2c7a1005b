"""What sources write of people: ages, sexes, identifiers."""

from __future__ import annotations

import math
import re

OLDEST_STATED_YEARS = 89.0
OLDER_THAN_STATED_YEARS = 90.0
OLDER_THAN_STATED_MARK = 300.0
OLDEST_PLAUSIBLE_YEARS = 120.0
_SEXES = {"0": "male", "m": "male", "male": "male", "1": "female", "f": "female", "female": "female"}


def age_years(text: str) -> float | None:
    """An age in years; 90 stands for older than 89."""
    found = re.match(r"\s*(-?\d+(?:[.,]\d+)?)", text)
    age = float(found[1].replace(",", ".")) if found else math.nan
    if not age >= 0:
        return None
    if age == OLDER_THAN_STATED_MARK or OLDEST_STATED_YEARS < age <= OLDEST_PLAUSIBLE_YEARS:
        return OLDER_THAN_STATED_YEARS
    return age if age <= OLDEST_STATED_YEARS else None


def sex(text: str) -> str | None:
    """female, male, or None for anything else."""
    return _SEXES.get(text.strip().lower().removesuffix(".0"))


def patient_id(text: str) -> str:
    """An identifier; some releases write whole numbers as 15709.0."""
    return text.strip().removesuffix(".0")
