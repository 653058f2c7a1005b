"""Patient profiles: the codes that each view of the data gives a patient, and which patients are alike.

    τ(p, q) = Σ_v |C_v(p) ∩ C_v(q)| / |C_v(p) ∪ C_v(q)|

SE-Diff (arXiv 2511.09895) takes three views of coded admissions, diagnoses, medications and procedures, with a weight
each, which count alike here. To them come statements and what PTB-XL codes beside them: heart axis, infarction stage,
extra beats and pacemaker. A view that a source lacks contributes nothing. What repeats statements in a source's own
codes, says where it was recorded or what the cart measured is no view of a patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from scipy.sparse import csr_array

ADMISSION_VIEWS: Final = ("diagnoses", "medications", "procedures")
"""Views of `recordings.coded_views` that an admission has."""
COMPARED_VIEWS: Final = ("axis", "infarction_stage", "extra_beats", "pacemaker", *ADMISSION_VIEWS)
"""Views beside the statements by which patients are compared."""
COMPARED = 512
"""Patients of a group that each of its patients is compared with at most, so that large groups stay cheap."""


class Profiles:
    """The code sets of P patients.

    Args:
        patients: (n,) number, from 0 to P − 1, of each recording's patient.
        views: view to the codes of each of the n recordings; a patient has the codes of all its recordings.
    """

    def __init__(self, patients: np.ndarray, views: Mapping[str, Sequence[Iterable[str]]]) -> None:
        count = int(patients.max()) + 1 if len(patients) else 0
        self.codes: dict[str, list[str]] = {}
        # Thousands of codes exist, of which a patient has a few.
        self._held: dict[str, csr_array] = {}
        for view, rows in views.items():
            pairs = {(int(patient), code) for patient, row in zip(patients, rows, strict=True) for code in row}
            codes = self.codes[view] = sorted({code for _, code in pairs})
            number = {code: index for index, code in enumerate(codes)}
            places = np.array(sorted((patient, number[code]) for patient, code in pairs), dtype=np.int64).reshape(-1, 2)
            ones = np.ones(len(places), dtype=np.float32)
            self._held[view] = csr_array((ones, places.T), shape=(count, len(codes)))

    def similarity(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(len(left), len(right)) similarities τ of patients, given by number."""
        total = np.zeros((len(left), len(right)), dtype=np.float32)
        for held in self._held.values():
            shared = (held[left] @ held[right].T).toarray()
            sizes = held.sum(axis=1)
            union = sizes[left][:, None] + sizes[right][None, :] - shared
            total += np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        return total

    def most_typical(self, group: np.ndarray, top_k: int) -> np.ndarray:
        """The `top_k` patients of a group that are most like the group's patients on average."""
        group = np.sort(group)
        sample = group[np.linspace(0, len(group) - 1, min(COMPARED, len(group))).round().astype(int)]
        closeness = self.similarity(group, sample).mean(axis=1)
        return group[np.argsort(-closeness, kind="stable")[:top_k]]

    def shares(self, view: str, group: np.ndarray) -> list[tuple[str, float]]:
        """Codes of a view and the share of a group's patients who have them, most frequent first."""
        if not self.codes.get(view) or not len(group):
            return []
        shares = self._held[view][group].sum(axis=0) / len(group)
        return sorted(zip(self.codes[view], shares.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
