"""Near copies: is a released ECG a training recording, perhaps shifted, scaled or with noise added?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.evaluation.metrics import wilson
from models.privacy import canaries
from models.privacy.near_copies import CopySearch
from tasks.privacy.audit_row import AuditRow, audit_row, exactly, within
from tasks.privacy.audited import Audited
from tasks.settings import PrivacySettings

COPIES = ("near copy of a training recording", "share copied")
COPY_CORRELATION = 0.95
"""Correlation of eight leads over the whole recording at one shift, from which an ECG is a copy; held-out recordings do
not reach 0.9."""


class NearCopies:
    """Search for copies; the reference is how often a held-out recording would count as one."""

    def __init__(self, audited: Audited, settings: PrivacySettings) -> None:
        self.audited, self.settings = audited, settings
        search = CopySearch(audited.members.signal, audited.rate_hz)
        self.released, self.held_out = (
            search.closest(each.signal)[0] for each in (audited.synthetic, audited.non_members)
        )
        self.hits = {kind: self._copies(search, kind) for kind in audited.planted}

    def _copies(self, search: CopySearch, kind: str) -> np.ndarray:
        """Which canaries of a kind count as copies.

        Beats in another rhythm are none by construction; of a pool for a whole release, the first ones are looked at.
        """
        found = np.zeros(len(self.audited.planted[kind].sources), bool)
        looked_at = np.arange(len(self.audited.planted[canaries.RECORDINGS].sources))
        found[looked_at] = search.closest(self.audited.canaries(kind, looked_at).signal)[0] >= COPY_CORRELATION
        return found

    def broken(self, kind: str, chosen: np.ndarray, rows: int) -> dict[tuple[str, str], bool]:
        """Whether the bound is broken by chosen canaries among so many of the cohort's first rows."""
        copies = int((self.released[:rows] >= COPY_CORRELATION).sum() + self.hits[kind][chosen].sum())
        share = wilson(copies, rows + len(chosen))
        return {COPIES: not within(share, self.settings.max_near_copy_share, "value")}

    def rows(self) -> Iterator[AuditRow]:
        """Share of copies and the largest correlation."""
        n = len(self.released)
        copies, by_chance = (each >= COPY_CORRELATION for each in (self.released, self.held_out))
        yield audit_row(
            *COPIES,
            wilson(int(copies.sum()), n),
            n,
            self.settings,
            reference=float(by_chance.mean()),
            at_most="max_near_copy_share",
            bounded="value",
            canary=canaries.RECORDINGS,
        )
        largest, chance = (float(np.fmax.reduce(each, initial=-1.0)) for each in (self.released, self.held_out))
        yield audit_row(COPIES[0], "largest correlation", exactly(largest), n, self.settings, reference=chance)
