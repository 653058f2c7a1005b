"""Patient profiles: the codes that each view of the data gives a patient, and which patients are alike.

    τ(p, q) = Σ_v |C_v(p) ∩ C_v(q)| / |C_v(p) ∪ C_v(q)|

SE-Diff (arXiv 2511.09895) takes three views of coded admissions, diagnoses, medications and procedures, with a weight
each. PTB-XL has its own, which count alike: statements, heart axis, infarction stage, extra beats and pacemaker. A view
that a source lacks contributes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

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
        self._held: dict[str, np.ndarray] = {}
        for view, rows in views.items():
            sets = [frozenset(row) for row in rows]
            codes = self.codes[view] = sorted(frozenset().union(*sets))
            number = {code: index for index, code in enumerate(codes)}
            held = self._held[view] = np.zeros((count, len(codes)), dtype=np.float32)
            for patient, codes_here in zip(patients, sets, strict=True):
                held[patient, [number[code] for code in codes_here]] = 1

    def similarity(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(len(left), len(right)) similarities τ of patients, given by number."""
        total = np.zeros((len(left), len(right)), dtype=np.float32)
        for held in self._held.values():
            shared = held[left] @ held[right].T
            union = held[left].sum(axis=1)[:, None] + held[right].sum(axis=1)[None, :] - shared
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
        shares = self._held[view][group].mean(axis=0)
        return sorted(zip(self.codes[view], shares.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
