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
from tasks.privacy.audited import Audited
from tasks.settings import PrivacySettings

GATE = ("beat gate", "share of ECGs with a beat nearer to a training beat than other people's come")
LINK = ("re-identification", "share of ECGs linked to one training patient")

FEWEST_FOR_LINKS = round(10 / LINK_QUANTILE)


class Linkage:
    """Attacks in the identifying space.

    A synthetic beat is compared with held-out people's, validation and test, of the same diagnostic superclass.
    """

    def __init__(self, audited: Audited, settings: PrivacySettings) -> None:
        self.audited, self.settings = audited, settings
        self.space = audited.spaces[0]
        self.training = audited.points(self.space, "members")
        found = [self._nearest(audited.points(self.space, side)) for side in ("reference", "non_members")]
        self.held_out = Nearest(*(np.concatenate([getattr(one, name) for one in found]) for name in vars(found[0])))
        classes = [name for side in (audited.reference, audited.non_members) for name in classes_of(side)]
        self.gate = BeatGate.fitted(self.held_out, classes)
        self.classes = classes_of(audited.synthetic)
        self.released = self._nearest(audited.points(self.space, "synthetic"))

    def _nearest(self, points: np.ndarray) -> Nearest:
        return nearest_patient(points, self.training, self.audited.members.patients)

    @cached_property
    def held_out_linked(self) -> Estimate:
        """Share of other people's ECGs that would be linked: what the margin stands for."""
        return wilson(int(self.gate.linked(self.held_out).sum()), len(self.held_out.margin))

    @cached_property
    def hits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Kind of canary to which canaries pass the gate's radius and which are linked."""
        found = {}
        for kind, pool in self.audited.planted.items():
            nearest = self._nearest(self.audited.points(self.space, kind))
            classes = [self.classes[host] for host in pool.hosts]
            found[kind] = self.gate.inside(nearest, classes), self.gate.linked(nearest)
        return found

    def broken(self, kind: str, chosen: np.ndarray, rows: int) -> dict[tuple[str, str], bool]:
        """Whether each bound is broken by chosen canaries among so many of the cohort's first rows."""
        inside, linked = self.hits[kind]
        n = rows + len(chosen)
        beats = int(self.gate.inside(self.released, self.classes)[:rows].sum() + inside[chosen].sum())
        links = int(self.gate.linked(self.released)[:rows].sum() + linked[chosen].sum())
        found = {GATE: not within(wilson(beats, n), self.settings.max_beat_share, "high")}
        if self._rate_known:
            found[LINK] = not within(wilson(links, n), self.held_out_linked.high, "low")
        return found

    @property
    def _rate_known(self) -> bool:
        """Whether there are enough held-out recordings for a share of one in a hundred."""
        return len(self.held_out.margin) >= FEWEST_FOR_LINKS

    def rows(self) -> Iterator[AuditRow]:
        """Gate, linkage, how near beats come, and real people's recognition."""
        settings, n = self.settings, len(self.released.distance)
        inside = self.gate.inside(self.released, self.classes)
        yield audit_row(
            *GATE,
            wilson(int(inside.sum()), n),
            n,
            settings,
            reference=RADIUS_QUANTILE,
            at_most="max_beat_share",
            canary=canaries.BEATS,
        )
        median = metrics.median_estimate(self.released.distance, settings.bootstrap_samples, settings.seed)
        usual = float(np.median(self.held_out.distance))
        yield audit_row(GATE[0], "median distance to a training beat", median, n, settings, reference=usual)
        yield audit_row(GATE[0], "radius over the usual distance", exactly(self.gate.radius), n, settings)
        linked = self.gate.linked(self.released)
        yield audit_row(
            *LINK,
            wilson(int(linked.sum()), n),
            n,
            settings,
            reference=self.held_out_linked.value,
            at_most=self.held_out_linked.high if self._rate_known else None,
            bounded="low",
            canary=canaries.NEIGHBOURS,
        )
        for kind, pool in self.audited.planted.items():
            own = self.audited.members.patients[pool.sources]
            named = self.audited.members.patients[self._nearest(self.audited.points(self.space, kind)).row]
            share = wilson(int((own == named).sum()), len(own))
            metric = f"share of canaries whose patient is the nearest: {kind}"
            yield audit_row(LINK[0], metric, share, len(own), settings, reference=1 / len(set(own)))
        yield from self._recognition()

    def _recognition(self) -> Iterator[AuditRow]:
        for name, side in (("reference data", "reference"), ("non-members", "non_members")):
            found = verified(self.audited.points(self.space, side), getattr(self.audited, side).patients)
            if found is None:
                continue
            attack = f"recognition of real people, {name}"
            chance = 1 / found.gallery
            metric = "share whose nearest recording is their own"
            yield audit_row(attack, metric, found.rank_one, found.recordings, self.settings, reference=chance)
            rate = Estimate(found.equal_error, float("nan"), float("nan"))
            yield audit_row(attack, "equal error rate", rate, found.pairs, self.settings, reference=0.5)


def classes_of(ecgs: EcgSet) -> list[str]:
    """The diagnostic superclasses of each ECG as one name; empty without one."""
    return ["+".join(sorted(found or [])) for found in ecgs.table.column("superclasses").to_pylist()]
