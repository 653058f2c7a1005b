"""The rhythm and the premature beats that statements imply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from models.rhythm.statistics import (
    ATRIAL_BEATS,
    BIGEMINY,
    ECTOPIES,
    ESCAPE_RHYTHM,
    FIBRILLATION_RHYTHM,
    FLUTTER_RHYTHM,
    PACED_RHYTHM,
    RHYTHMS,
    SINUS_ARRHYTHMIA,
    SINUS_BRADYCARDIA,
    SINUS_TACHYCARDIA,
    SUPRAVENTRICULAR_TACHYCARDIA,
    TRIGEMINY,
    VENTRICULAR_BEATS,
)
from warehouse.statements import statements as vocabulary

RHYTHM_STATEMENTS: Final = {
    "PACE": PACED_RHYTHM,
    "AFIB": FIBRILLATION_RHYTHM,
    "AFLT": FLUTTER_RHYTHM,
    "PSVT": SUPRAVENTRICULAR_TACHYCARDIA,
    "SVTAC": SUPRAVENTRICULAR_TACHYCARDIA,
    "3AVB": ESCAPE_RHYTHM,
    "STACH": SINUS_TACHYCARDIA,
    "SBRAD": SINUS_BRADYCARDIA,
    "SARRH": SINUS_ARRHYTHMIA,
}
"""Statement to its rhythm; the first that is held decides, sinus rhythm where none is."""
ECTOPY_STATEMENTS: Final = {
    "BIGU": BIGEMINY,
    "TRIGU": TRIGEMINY,
    "PVC": VENTRICULAR_BEATS,
    "PAC": ATRIAL_BEATS,
    "SVARR": ATRIAL_BEATS,
    "PRC(S)": VENTRICULAR_BEATS,
}
"""Statement to the premature beats it names; the first that is held decides, none where none is."""


def stated_rhythm(statements: Iterable[str]) -> tuple[int, int]:
    """What statements imply: indices into `RHYTHMS` and `ECTOPIES` of `models.rhythm.statistics`."""
    held = vocabulary().with_broader(statements)
    rhythm = next((RHYTHMS.index(name) for code, name in RHYTHM_STATEMENTS.items() if code in held), 0)
    return rhythm, next((ECTOPIES.index(name) for code, name in ECTOPY_STATEMENTS.items() if code in held), 0)
