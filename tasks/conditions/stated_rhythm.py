"""The rhythm and the premature beats that statements and coded views imply."""

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
ECTOPY_VIEWS: Final = {
    "ventricular": VENTRICULAR_BEATS,
    "ventricular and supraventricular": VENTRICULAR_BEATS,
    "supraventricular": ATRIAL_BEATS,
}
"""Coded extra beats (`tasks.conditions.coded_views.EXTRA_BEATS`) to the premature beats that they are, where no
statement names any; of both kinds the ventricular ones, which have a shape of their own."""


def stated_rhythm(
    statements: Iterable[str], pacemaker: bool = False, extra_beats: str | None = None
) -> tuple[int, int]:
    """What a condition implies: indices into `RHYTHMS` and `ECTOPIES` of `models.rhythm.statistics`.

    Args:
        statements: of the condition.
        pacemaker, extra_beats: its coded views. A pacemaker makes the rhythm paced, whatever else is stated.
    """
    held = vocabulary().with_broader(statements) | ({"PACE"} if pacemaker else set())
    rhythm = next((RHYTHMS.index(name) for code, name in RHYTHM_STATEMENTS.items() if code in held), 0)
    stated = [name for code, name in ECTOPY_STATEMENTS.items() if code in held]
    stated += [ECTOPY_VIEWS[extra_beats]] if extra_beats in ECTOPY_VIEWS else []
    return rhythm, ECTOPIES.index(stated[0]) if stated else 0
