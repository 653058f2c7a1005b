"""Whose beat is it? The beat gate, linkage of synthetic ECGs to patients, and how well the space recognises people."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from models.evaluation import metrics
from models.evaluation.metrics import Estimate, wilson
from models.privacy import canaries
from models.privacy.linkage import LINK_QUANTILE, RADIUS_QUANTILE, BeatGate, Nearest, nearest_patient, verified
from tasks.ecg_sets import EcgSet
from tasks.privacy.audit_row import AuditRow, audit_row, exactly, within
from tasks.privacy.audited import Audited, Space
from tasks.settings import PrivacySettings

GATE = "share of ECGs with a beat nearer to a training beat than other people's come"
LINK = ("re-identification", "share of ECGs linked to one training patient")

FEWEST_FOR_LINKS = round(10 / LINK_QUANTILE)


class Gate:
    """The beat gate in one space.

    A synthetic beat is compared with held-out people's, validation and test, of the same diagnostic superclass.
    """

    def __init__(self, audited: Audited, space: Space, settings: PrivacySettings, canary: str) -> None:
        self.audited, self.space, self.settings, self.canary = audited, space, settings, canary
        self.attack = f"beat gate, {space.name}"
        self.training = audited.points(space, "members")
        found = [self._nearest(audited.points(space, side)) for side in ("reference", "non_members")]
        self.held_out = Nearest(*(np.concatenate([getattr(one, name) for one in found]) for name in vars(found[0])))
        classes = [name for side in (audited.reference, audited.non_members) for name in classes_of(side)]
        self.gate = BeatGate.fitted(self.held_out, classes)
        self.classes = classes_of(audited.synthetic)
        self.released = self._nearest(audited.points(space, "synthetic"))
        self.inside = self.gate.inside(self.released, self.classes)

    def _nearest(self, points: np.ndarray) -> Nearest:
        return nearest_patient(points, self.training, self.audited.members.patients)

    @cached_property
    def hits(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Kind of canary to which canaries pass the radius, which are linked, and the recording nearest to each."""
        found = {}
        for kind, pool in self.audited.planted.items():
            nearest = self._nearest(self.audited.points(self.space, kind))
            classes = [self.classes[host] for host in pool.hosts]
            found[kind] = self.gate.inside(nearest, classes), self.gate.linked(nearest), nearest.row
        return found

    def broken(self, kind: str, chosen: np.ndarray, rows: int) -> dict[tuple[str, str], bool]:
        """Whether each bound is broken by chosen canaries among so many of the cohort's first rows."""
        beats = wilson(int(self.inside[:rows].sum() + self.hits[kind][0][chosen].sum()), rows + len(chosen))
        return {(self.attack, GATE): not within(beats, self.settings.max_beat_share, "high")}

    def rows(self) -> Iterator[AuditRow]:
        """The gate, how near beats come, whose canaries are recognised, and real people's recognition."""
        settings, n = self.settings, len(self.inside)
        yield audit_row(
            self.attack,
            GATE,
            wilson(int(self.inside.sum()), n),
            n,
            settings,
            reference=RADIUS_QUANTILE,
            at_most="max_beat_share",
            canary=self.canary,
        )
        median = metrics.median_estimate(self.released.distance, settings.bootstrap_samples, settings.seed)
        usual = float(np.median(self.held_out.distance))
        yield audit_row(self.attack, "median distance to a training beat", median, n, settings, reference=usual)
        yield audit_row(self.attack, "radius over the usual distance", exactly(self.gate.radius), n, settings)
        for kind, pool in self.audited.planted.items():
            own = self.audited.members.patients[pool.sources]
            named = self.audited.members.patients[self.hits[kind][2]]
            share = wilson(int((own == named).sum()), len(own))
            metric = f"share of canaries whose patient is the nearest: {kind}"
            yield audit_row(self.attack, metric, share, len(own), settings, reference=1 / len(set(own)))
        yield from self._recognition()

    def _recognition(self) -> Iterator[AuditRow]:
        for name, side in (("reference data", "reference"), ("non-members", "non_members")):
            found = verified(self.audited.points(self.space, side), getattr(self.audited, side).patients)
            if found is None:
                continue
            attack = f"recognition of real people, {self.space.name}, {name}"
            chance = 1 / found.gallery
            metric = "share whose nearest recording is their own"
            yield audit_row(attack, metric, found.rank_one, found.recordings, self.settings, reference=chance)
            rate = Estimate(found.equal_error, float("nan"), float("nan"))
            yield audit_row(attack, "equal error rate", rate, found.pairs, self.settings, reference=0.5)


class Linkage(Gate):
    """The gate in the identifying space, and linkage there."""

    @cached_property
    def held_out_linked(self) -> Estimate:
        """Share of other people's ECGs that would be linked: what the margin stands for."""
        return wilson(int(self.gate.linked(self.held_out).sum()), len(self.held_out.margin))

    @property
    def _rate_known(self) -> bool:
        """Whether there are enough held-out recordings for a share of one in a hundred."""
        return len(self.held_out.margin) >= FEWEST_FOR_LINKS

    def broken(self, kind: str, chosen: np.ndarray, rows: int) -> dict[tuple[str, str], bool]:
        """Whether each bound is broken by chosen canaries among so many of the cohort's first rows."""
        found = super().broken(kind, chosen, rows)
        if self._rate_known:
            links = int(self.gate.linked(self.released)[:rows].sum() + self.hits[kind][1][chosen].sum())
            found[LINK] = not within(wilson(links, rows + len(chosen)), self.held_out_linked.high, "low")
        return found

    def rows(self) -> Iterator[AuditRow]:
        """Those of the gate, and how many ECGs are linked."""
        linked = self.gate.linked(self.released)
        yield audit_row(
            *LINK,
            wilson(int(linked.sum()), len(linked)),
            len(linked),
            self.settings,
            reference=self.held_out_linked.value,
            at_most=self.held_out_linked.high if self._rate_known else None,
            bounded="low",
            canary=canaries.NEIGHBOURS,
        )
        yield from super().rows()


def classes_of(ecgs: EcgSet) -> list[str]:
    """The diagnostic superclasses of each ECG as one name; empty without one."""
    return ["+".join(sorted(found or [])) for found in ecgs.table.column("superclasses").to_pylist()]
