"""Cohort labels on real recordings: true of all that is shown under them, and as frequent as there."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tasks.conditions.cohort_design import design_cohort, group_conditions
from tasks.settings import CohortSettings
from warehouse.sources.registry import open_source


@pytest.mark.parametrize("min_patients", [5, 10])
def test_labels_of_ptbxl_are_complete(shared_data: Path, min_patients: int) -> None:
    source = open_source("ptbxl", shared_data / "ptbxl")
    facts = source.statements()
    records = [one for one in source.records() if (one.strat_fold or 0) <= 8]
    rows = [
        {
            "patient_key": one.patient,
            "statements": [{"code": code, "likelihood": likelihood} for code, likelihood in one.statements],
            "sex": one.sex,
            "age_years": one.age_years,
            "heart_rate_bpm": 70.0,
            "coded_views": [{"view": view, "codes": list(codes)} for view, codes in one.coded_views],
            "text": one.text,
        }
        for one in records
    ]
    training = pa.Table.from_pylist(rows)
    design = design_cohort(training, CohortSettings(min_patients=min_patients), facts)
    assert min(group.patients for group in design.groups) >= min_patients
    # Neither of what is learned under a group's label nor of what is asked for is a superclass denied.
    for record, condition in zip(records, group_conditions(training, training, min_patients, facts), strict=True):
        assert condition.all_superclasses(facts) == list(record.superclasses)
    found = design.facts
    assert set(found.lost_positives.values()) == {0.0} and len(found.lost_positives) == 5
    assert found.several_superclasses.asked == pytest.approx(found.several_superclasses.real, abs=0.01)
    assert design.facts.left_out < 0.02 * len(records)
    if min_patients == 5:
        # Of so few recordings, a statement of some dozens has few groups, none of which may weigh too much.
        assert all(one.asked > 0.5 * one.real for one in found.statements.values() if one.real > 0.02)
