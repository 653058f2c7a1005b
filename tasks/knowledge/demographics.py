"""Age bands of the knowledge base."""

from __future__ import annotations

import math
from typing import Final

AGE_BANDS: Final = {"0-19": (0, 20), "20-39": (20, 40), "40-59": (40, 60), "60-79": (60, 80), "80+": (80, math.inf)}
"""Band to the ages in it, in years: from (included) to (excluded)."""


def age_band(age_years: float | None) -> str | None:
    """The age band of an age in years; None for an unknown age."""
    if age_years is None or math.isnan(age_years):
        return None
    return next((band for band, (low, high) in AGE_BANDS.items() if low <= age_years < high), None)
