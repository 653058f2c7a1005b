"""What a request cannot ask for at once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Final

from tasks.conditions.reading.numbers import Rate
from tasks.conditions.reading.reader import MAY_BE_NORMAL

SINUS: Final = ("SR", "SBRAD", "STACH", "SARRH")
P_WAVES: Final = ("1AVB", "LPR", "2AVB", "LAO/LAE", "RAO/RAE")
"""Statements that are read from P waves, which atrial fibrillation has none of."""
EXCLUSIVE: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    (SINUS, ("AFIB", "AFLT", "SVTAC", "PSVT")),
    (("SBRAD",), ("STACH",)),
    (("AFIB",), P_WAVES),
    (("AFIB",), ("SVTAC", "PSVT")),
    (("SVTAC", "PSVT"), ("3AVB",)),
    (("3AVB",), ("1AVB", "LPR", "2AVB")),
    (("CLBBB",), ("CRBBB", "ILBBB", "IRBBB")),
    (("CRBBB",), ("IRBBB", "ILBBB")),
    (("LAFB",), ("LPFB",)),
    (("LVOLT",), ("HVOLT", "VCLVH")),
)
"""Statements that one ECG of ten seconds does not show together. No pair holds more than 5 recordings of PTB-XL's folds
1 to 8."""
AXIS_OF_FASCICULAR_BLOCK: Final = {"LAFB": ("RAD", "ARAD"), "LPFB": ("LAD", "ALAD")}
SINUS_RATES: Final = Rate(30, 220)
RATES: Final = {
    "SR": SINUS_RATES,
    "SBRAD": Rate(20, 60),
    "STACH": Rate(100, 220),
    "SARRH": Rate(30, 150),
    "AFIB": Rate(25, 250),
    "AFLT": Rate(25, 250),
    "SVTAC": Rate(100, 250),
    "PSVT": Rate(100, 250),
    "2AVB": Rate(20, 150),
    "3AVB": Rate(20, 100),
    "PACE": Rate(30, 180),
    "NORM": Rate(45, 110),
}
"""Ventricular rates in bpm at which a rhythm is possible, or an ECG normal that is said to be neither slow nor fast."""


def exclusive(statements: Iterable[str]) -> tuple[str, str] | None:
    """The first two statements that one ECG cannot show together."""
    for one, other in combinations(dict.fromkeys(statements), 2):
        for left, right in EXCLUSIVE:
            if (one in left and other in right) or (one in right and other in left):
                return one, other
        if "NORM" in (one, other) and not {one, other} - {"NORM"} <= MAY_BE_NORMAL:
            return one, other
    return None


def possible_rates(statements: Iterable[str]) -> list[tuple[str, Rate]]:
    """Statements that limit the heart rate, with their limits; sinus rhythm's where no rhythm is asked for."""
    asked = set(statements)
    of_rhythm = [(code, RATES[code]) for code in RATES if code in asked and code != "NORM"]
    if "NORM" in asked and not asked & {"SBRAD", "STACH"}:
        of_rhythm.append(("NORM", RATES["NORM"]))
    return of_rhythm or [("SR", SINUS_RATES)]
