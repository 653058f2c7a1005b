"""Which training patients a share holds: a hash of (seed, patient) puts all in a row, a share is its beginning.

Shares of one seed are therefore nested, and depend on nothing but the order of the patients in the dataset.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np


def patient_order(patients: np.ndarray, seed: int) -> np.ndarray:
    """The distinct patient numbers in the order of their hashes."""
    distinct = np.unique(patients)
    keys = [hashlib.sha256(f"{seed}:{patient}".encode()).digest() for patient in distinct.tolist()]
    return distinct[sorted(range(len(distinct)), key=keys.__getitem__)]


def share_of_patients(patients: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(n,) bool: the rows of a share of the patients, at least one.

    Args:
        patients: (n,) patient number of each row.
        share: of the patients, above 0 and at most 1.
        seed: of the draw.

    Raises:
        ValueError: a share out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share lies above 0 and at most at 1, got {share}")
    order = patient_order(patients, seed)
    return np.isin(patients, order[: math.ceil(share * len(order))])


def imbalanced_rows(positive: np.ndarray, patients: np.ndarray, ratio: int, seed: int) -> np.ndarray:
    """Row numbers with one positive to `ratio` negatives, as many as there are, taken in the order of patients' hashes.

    Args:
        positive: (n,) bool.
        patients: (n,).
    """
    order = {patient: place for place, patient in enumerate(patient_order(patients, seed).tolist())}
    rows = np.argsort([order[patient] for patient in patients.tolist()], kind="stable")
    ones, zeros = rows[positive[rows]], rows[~positive[rows]]
    count = min(len(ones), len(zeros) // ratio)
    return np.sort(np.concatenate([ones[:count], zeros[: count * ratio]]))
