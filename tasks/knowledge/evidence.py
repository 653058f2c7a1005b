"""Evidence: what the training recordings of a condition measure, beside what all other training recordings measure.

Only aggregates leave this file: counts, quartiles and shares, of groups that enough patients support, and sentences
that the reports of enough patients share (`tasks.knowledge.report_lines`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.evaluation.delivery import satisfied
from models.evaluation.metrics import patient_numbers
from models.leads import LEAD_GROUPS, STANDARD_LEADS
from models.measured_features import MEASURED
from tasks.knowledge.claims import FEATURES, P_WAVE, STATEMENT_PREFIX, Claim
from tasks.knowledge.demographics import AGE_BANDS, age_band
from tasks.knowledge.profiles import ADMISSION_VIEWS, COMPARED_VIEWS, Profiles

STATEMENTS_VIEW = "statements"
FREQUENT = 0.3
"""Share of a group from which a statement or code counts as frequent."""
APART = 2.0
"""How many times as frequent as in other patients a code of admissions is that sets a group apart."""
COLUMNS = ["patient_key", "split", "age_years", "sex", "text", "statements", "coded_views", P_WAVE, *FEATURES]
"""Columns of `recordings` that evidence is made from."""


@dataclass(frozen=True)
class EvidenceGroup:
    """Whose recordings an entry is about: a statement, and within it a sex and an age band or everyone."""

    statement: str
    sex: str | None = None
    age_band: str | None = None


class TrainingRecordings:
    """The recordings of a split as arrays, ready to be asked which of them satisfy a claim.

    Args:
        recordings: needs the columns `COLUMNS`.
        split: the split that is read; anything but the training split serves benchmarks only.

    Attributes:
        patients: (n,) number of each recording's patient.
        codes: statements made of any recording, sorted.
        stated: (n, codes) bool; a statement counts whatever its likelihood, since 0 means unknown, not absent.
    """

    def __init__(self, recordings: pa.Table, split: str = "train") -> None:
        table = recordings.select(COLUMNS).filter(pc.equal(recordings["split"], split))
        self.patients = patient_numbers(np.array(table["patient_key"].to_pylist(), dtype=str))
        self.sexes = np.array(table["sex"].to_pylist(), dtype=object)
        self.age_bands = np.array([age_band(age) for age in table["age_years"].to_pylist()], dtype=object)
        stated = [{statement["code"] for statement in row or []} for row in table["statements"].to_pylist()]
        self.codes = sorted(set().union(*stated))
        self.stated = np.array([[code in row for code in self.codes] for row in stated], dtype=bool).reshape(
            len(stated), len(self.codes)
        )
        self._table = table
        self._values: dict[tuple[str, str | None], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.patients)

    @cached_property
    def reports(self) -> list[str]:
        """(n,) reports as written."""
        return [text or "" for text in self._table["text"].to_pylist()]

    @cached_property
    def profiles(self) -> Profiles:
        """The patients' codes in every view by which patients are compared."""
        rows = [{one["view"]: one["codes"] for one in row or []} for row in self._table["coded_views"].to_pylist()]
        coded = {view for row in rows for view in row}
        views = {view: [row.get(view, []) for row in rows] for view in COMPARED_VIEWS if view in coded}
        stated = [[code for code, here in zip(self.codes, row, strict=True) if here] for row in self.stated]
        return Profiles(self.patients, {STATEMENTS_VIEW: stated, **views})

    def values(self, feature: str, lead: str | None = None) -> np.ndarray:
        """(n,) values of a feature, NaN where it was not measured; for a territory the mean over its leads."""
        if (feature, lead) not in self._values:
            self._values[feature, lead] = self._read(feature, lead)
        return self._values[feature, lead]

    def _read(self, feature: str, lead: str | None) -> np.ndarray:
        if feature.startswith(STATEMENT_PREFIX):
            code = feature.removeprefix(STATEMENT_PREFIX)
            return self.stated[:, self.codes.index(code)].astype(float) if code in self.codes else np.zeros(len(self))
        if lead is None:
            return self._table[feature].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(float)
        leads = np.array([row or [None] * len(STANDARD_LEADS) for row in self._table[feature].to_pylist()], dtype=float)
        wanted = [STANDARD_LEADS.index(name) for name in LEAD_GROUPS.get(lead, (lead,))]
        return leads.reshape(len(self), len(STANDARD_LEADS))[:, wanted].mean(axis=1)

    def members(self, group: EvidenceGroup) -> np.ndarray:
        """(n,) bool: the recordings of a group."""
        if group.statement not in self.codes:
            return np.zeros(len(self), dtype=bool)
        member = self.stated[:, self.codes.index(group.statement)].copy()
        if group.sex is not None:
            member &= self.sexes == group.sex
        if group.age_band is not None:
            member &= self.age_bands == group.age_band
        return member

    def groups(self, min_patients: int, by_sex_and_age: bool) -> list[tuple[EvidenceGroup, int]]:
        """Groups that enough patients support, each with its number of patients, best supported first."""
        wanted = [EvidenceGroup(code) for code in self.codes]
        if by_sex_and_age:
            wanted += [
                EvidenceGroup(code, sex, band)
                for code in self.codes
                for sex in ("female", "male")
                for band in AGE_BANDS
            ]
        supported = [(group, self.patient_count(self.members(group))) for group in wanted]
        return sorted(
            (pair for pair in supported if pair[1] >= min_patients),
            key=lambda pair: (-pair[1], pair[0].statement, str(pair[0])),
        )

    def patient_count(self, chosen: np.ndarray) -> int:
        """Patients behind the chosen recordings."""
        return int(np.count_nonzero(np.bincount(self.patients[chosen])))


@dataclass(frozen=True)
class Distribution:
    """A feature in a group and in all other training recordings."""

    feature: str
    lead: str | None
    quartiles: tuple[float, float, float]
    rest_median: float | None
    difference: float
    """Shift of the median from the rest, in units of the rest's interquartile range."""


@dataclass(frozen=True)
class Quartiles:
    """What the patients who are most like a group's measure of a feature.

    Attributes:
        feature, lead: as in `models.measured_features.MEASURED`.
        quartiles: of their recordings in the group, in the feature's unit.
        patients: those of whom it is measured.
    """

    feature: str
    lead: str | None
    quartiles: tuple[float, float, float]
    patients: int


@dataclass(frozen=True)
class Share:
    """How often a claim is true.

    Attributes:
        share: of the recordings for which its feature was measured; 0 where there are none.
        recordings: those recordings.
        patients: their patients.
    """

    share: float
    recordings: int
    patients: int


@dataclass(frozen=True)
class Evidence:
    """What is known of one group."""

    group: EvidenceGroup
    training: TrainingRecordings

    @cached_property
    def member(self) -> np.ndarray:
        """(n,) bool: the group's recordings."""
        return self.training.members(self.group)

    @property
    def recordings(self) -> int:
        """Recordings of the group."""
        return int(self.member.sum())

    @property
    def patients(self) -> int:
        """Patients of the group."""
        return self.training.patient_count(self.member)

    def share(self, claim: Claim, of_rest: bool = False) -> Share:
        """How many of the group's recordings, or of all others, satisfy a claim."""
        values = self.training.values(*claim.subject)
        measured = np.isfinite(values) & (~self.member if of_rest else self.member)
        return Share(
            share=float(satisfied(values[measured], claim.comparison, claim.value, claim.upper).mean())
            if measured.any()
            else 0.0,
            recordings=int(measured.sum()),
            patients=self.training.patient_count(measured),
        )

    @cached_property
    def patient_numbers(self) -> np.ndarray:
        """Numbers of the group's patients."""
        return np.unique(self.training.patients[self.member])

    def typical_patients(self, most: int) -> np.ndarray:
        """Numbers of the patients whose profiles are most like the group's."""
        return self.training.profiles.most_typical(self.patient_numbers, most)

    def quartiles(self, most: int, min_patients: int) -> list[Quartiles]:
        """Quartiles of the features `MEASURED` in the patients whose profiles are most like the group's.

        A feature that is measured in fewer than half of their recordings, or of fewer than `min_patients` of them, is
        left out: half of a group without P waves may still have a PR interval by mistake.

        Args:
            most: patients that are looked at.
            min_patients: patients that a quartile needs, so that it says nothing of single ones.
        """
        training, found = self.training, []
        chosen = self.member & np.isin(training.patients, self.typical_patients(most))
        for feature in MEASURED:
            values = training.values(feature.name, feature.lead)
            here = chosen & np.isfinite(values)
            patients = training.patient_count(here)
            if patients >= min_patients and 2 * here.sum() >= chosen.sum():
                low, median, high = np.percentile(values[here], [25, 50, 75]).tolist()
                found.append(Quartiles(feature.name, feature.lead, (low, median, high), patients))
        return found

    def typical_codes(self, min_share: float) -> list[tuple[str, str, float]]:
        """View, code and share of what at least `min_share` of the patients are coded with, statements left out.

        Of an admission, with its dozens of drugs, only what is `APART` times as frequent as in other patients.
        """
        profiles, group = self.training.profiles, self.patient_numbers
        others = np.setdiff1d(np.unique(self.training.patients), group)
        found = []
        for view in profiles.codes:
            rest = dict(profiles.shares(view, others)) if view in ADMISSION_VIEWS else {}
            found += [
                (view, code, share)
                for code, share in (profiles.shares(view, group) if view != STATEMENTS_VIEW else ())
                if share >= max(min_share, APART * rest.get(code, 0.0))
            ]
        return found

    @property
    def admissions(self) -> dict[str, list[str]]:
        """View of admissions to the codes that are typical of the group's."""
        codes: dict[str, list[str]] = {}
        for view, code, _ in self.typical_codes(FREQUENT):
            if view in ADMISSION_VIEWS:
                codes.setdefault(view, []).append(code)
        return codes

    @cached_property
    def distributions(self) -> list[Distribution]:
        """Numeric features, the one that sets the group apart most first; per lead and territory where measured so."""
        found = []
        for name, feature in FEATURES.items():
            for lead in LEAD_GROUPS if feature.per_lead else (None,):
                values = self.training.values(name, lead)
                here, rest = (part[np.isfinite(part)] for part in (values[self.member], values[~self.member]))
                # A feature that half of the recordings lack (PR without P waves) says nothing of the condition.
                if 2 * len(here) < self.recordings or not len(here):
                    continue
                low, median, high = (float(value) for value in np.percentile(here, [25, 50, 75]))
                shift, rest_median = 0.0, None
                if len(rest):
                    first, rest_median, third = (float(value) for value in np.percentile(rest, [25, 50, 75]))
                    shift = (median - rest_median) / max(third - first, 1e-9)
                found.append(Distribution(name, lead, (low, median, high), rest_median, shift))
        return sorted(found, key=lambda one: -abs(one.difference))

    @cached_property
    def companions(self) -> list[tuple[str, float]]:
        """Other statements made of the same recordings, each with its share, most frequent first."""
        shares = self.training.stated[self.member].mean(axis=0)
        pairs = [(code, float(share)) for code, share in zip(self.training.codes, shares, strict=True)]
        return sorted(
            ((code, share) for code, share in pairs if code != self.group.statement), key=lambda pair: -pair[1]
        )
