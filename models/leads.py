"""Lead names and lead algebra.

Twelve leads have rank 8: III, aVR, aVL and aVF follow from I and II (Einthoven 1913, Goldberger 1942). Everything
stored or generated holds the eight independent leads, so the identities hold exactly and cannot be learned wrongly.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import numpy as np

INDEPENDENT_LEADS: Final = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The leads that are stored and generated, in this order."""

STANDARD_LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The order in which a 12-lead ECG is printed."""

LEAD_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "inferior": ("II", "III", "aVF"),
    "lateral": ("I", "aVL", "V5", "V6"),
    "septal": ("V1", "V2"),
    "anterior": ("V3", "V4"),
}
"""Territories; what is said of one is said of the mean over its leads."""

LIMB_LEAD_IDENTITIES: Final[dict[str, tuple[float, float]]] = {
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
"""Derived lead: (weight of I, weight of II)."""

Signal = TypeVar("Signal")

_CANONICAL = {name.upper(): name for name in STANDARD_LEADS}
_ALIASES = {"MLI": "I", "MLII": "II", "MLIII": "III", "DI": "I", "DII": "II", "DIII": "III"}
_PREFIX = re.compile(r"^(?:LEAD|ECG)[ _-]?(?=[IV]|AV|ML)")


def canonical_lead(name: str) -> str:
    """The standard spelling of a lead name, whatever the source calls it.

    Upper and lower case are the same (``"AVR"``), as are the limb leads of monitors and of Romance languages
    (``"MLII"``, ``"DII"``) and what exports put before a name (``"Lead II"``, ``"ECG_V1"``).

    Raises:
        ValueError: the name is not one of the twelve standard leads.
    """
    found = _PREFIX.sub("", name.strip().upper())
    try:
        return _CANONICAL[_ALIASES.get(found, found)]
    except KeyError:
        raise ValueError(f"{name!r} is not a standard lead; expected one of {', '.join(STANDARD_LEADS)}") from None


def lead_column(name: str) -> str:
    """The table column that holds a lead: ``"V1"`` becomes ``"lead_v1"``."""
    return f"lead_{canonical_lead(name).lower()}"


LEAD_COLUMNS: Final = tuple(lead_column(name) for name in INDEPENDENT_LEADS)


def reconstruction_matrix() -> np.ndarray:
    """The (12, 8) matrix that maps the independent leads to the twelve standard leads."""
    matrix = np.zeros((len(STANDARD_LEADS), len(INDEPENDENT_LEADS)), dtype=np.float32)
    for row, name in enumerate(STANDARD_LEADS):
        if name in LIMB_LEAD_IDENTITIES:
            matrix[row, 0], matrix[row, 1] = LIMB_LEAD_IDENTITIES[name]
        else:
            matrix[row, INDEPENDENT_LEADS.index(name)] = 1.0
    return matrix


def to_twelve_leads(independent: Signal) -> Signal:
    """Reconstruct the twelve standard leads.

    Args:
        independent: array or tensor of shape (…, 8, samples), leads in the order of `INDEPENDENT_LEADS`, any unit.

    Returns:
        The same kind of array, shape (…, 12, samples), leads in the order of `STANDARD_LEADS`, same unit.

    Raises:
        ValueError: the lead axis is not 8 long.
    """
    if independent.shape[-2] != len(INDEPENDENT_LEADS):  # type: ignore[attr-defined]
        raise ValueError(f"expected (…, 8, samples), got {tuple(independent.shape)}")  # type: ignore[attr-defined]
    matrix = reconstruction_matrix()
    if isinstance(independent, np.ndarray):
        return matrix.astype(independent.dtype) @ independent  # type: ignore[return-value]
    return independent.new_tensor(matrix) @ independent  # type: ignore[attr-defined]


def einthoven_residual(twelve: np.ndarray) -> float:
    """Largest absolute violation of the limb-lead identities, in the unit of the input.

    Args:
        twelve: (…, 12, samples), leads in the order of `STANDARD_LEADS`.
    """
    lead = {name: twelve[..., index, :] for index, name in enumerate(STANDARD_LEADS)}
    return max(
        float(np.abs(lead[name] - (of_i * lead["I"] + of_ii * lead["II"])).max(initial=0.0))
        for name, (of_i, of_ii) in LIMB_LEAD_IDENTITIES.items()
    )
