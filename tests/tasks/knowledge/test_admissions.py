"""Retrieval by the three code views of admissions, on the tables of MIMIC-IV's demo."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.conditions.condition import conditions_of
from tasks.knowledge.evidence import Evidence, EvidenceGroup, TrainingRecordings
from tasks.knowledge.retrieval import Admission, KnowledgeIndex, Request, admission_similarity
from tasks.settings import RetrievalWeights
from tests.tasks.knowledge.entries import entries
from tests.tasks.knowledge.patients import FACTS, recordings_table
from warehouse.schema import EMBEDDING_SIZE
from warehouse.sources.hospital_stays import HospitalStays

FIBRILLATION = ("ICD9:4273", "ICD10:I48")
WARFARIN, HEPARIN = frozenset({"warfarin"}), frozenset({"heparin"})


def test_similarity_is_the_mean_of_three_jaccards() -> None:
    left = [(("diagnoses", frozenset({"I48", "I10"})), ("medications", WARFARIN)), ()]
    right = [(("diagnoses", frozenset({"I48"})), ("medications", WARFARIN | HEPARIN)), (("procedures", HEPARIN),)]
    np.testing.assert_allclose(admission_similarity(left, right), [[(1 / 2 + 1 / 2) / 3, 0], [0, 0]], atol=1e-6)


@pytest.fixture(scope="module")
def admitted(shared_data: Path) -> pa.Table:
    """An ECG at the start of every admission; those with a diagnosis of atrial fibrillation state it. Every second
    patient is held out."""
    hospital = shared_data / "mimic_iv_demo" / "hosp"
    with gzip.open(hospital / "admissions.csv.gz", "rt", newline="") as file:
        admissions = list(csv.DictReader(file))
    stays = HospitalStays(hospital, {one["subject_id"] for one in admissions})
    views = [stays.views(one["subject_id"], one["admittime"]) for one in admissions]
    people = sorted({one["subject_id"] for one in admissions})
    table = recordings_table(patients=len(admissions), truth={("SR",): {}})
    for name, values in {
        "patient_key": [one["subject_id"] for one in admissions],
        "split": ["train" if people.index(one["subject_id"]) % 2 else "test" for one in admissions],
        "statements": [
            [{"code": "AFIB" if any(map(_fibrillation, view.get("diagnoses", ()))) else "SR", "likelihood": 100.0}]
            for view in views
        ],
        # A patient's ECGs must not be alike because of where they were recorded or what the cart measured.
        "coded_views": [
            [
                {"view": name, "codes": codes}
                for name, codes in {**view, "machine_measurements": ["qrs_axis=77"]}.items()
            ]
            for view in views
        ],
    }.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
    return table


def _fibrillation(code: str) -> bool:
    return code.startswith(FIBRILLATION)


def test_what_sets_the_admissions_of_a_condition_apart(admitted: pa.Table) -> None:
    training = TrainingRecordings(admitted)
    assert set(training.profiles.codes) == {"statements", "diagnoses", "medications", "procedures"}
    typical = Evidence(EvidenceGroup("AFIB"), training).admissions
    assert {"warfarin", "amiodarone"} <= {*typical["medications"]} and "heparin" not in typical["medications"]
    assert any(map(_fibrillation, typical["diagnoses"]))


def test_an_admission_finds_the_entry_of_patients_like_its_own(admitted: pa.Table) -> None:
    training = TrainingRecordings(admitted)
    facts = {code: FACTS[code] for code in ("AFIB", "SR")}
    typical = [Evidence(EvidenceGroup(code), training).admissions for code in facts]
    table = entries(facts)
    field = table.schema.field("coded_views")
    views = pa.array([[{"view": view, "codes": codes} for view, codes in one.items()] for one in typical], field.type)
    index = KnowledgeIndex.from_table(table.set_column(table.schema.get_field_index(field.name), field, views))
    held_out = [
        one
        for one, split in zip(conditions_of(admitted, facts), admitted["split"].to_pylist(), strict=True)
        if split == "test" and one.admission
    ]
    fibrillation = np.array([one.statements == ("AFIB",) for one in held_out])
    weights = RetrievalWeights(embedding=0, statements=0, demographics=0)

    def found(admissions: list[Admission]) -> float:
        """How often an admission in fibrillation is nearer to the entry about it than another admission is."""
        requests = [Request("", frozenset(), None, None, one) for one in admissions]
        scores = index.scores(requests, lambda texts: np.zeros((len(texts), EMBEDDING_SIZE), np.float32), weights)
        nearer = scores[:, 0] - scores[:, 1]
        return float((nearer[fibrillation][:, None] > nearer[~fibrillation][None, :]).mean())

    whole = [one.admission for one in held_out]
    # Without the diagnosis of fibrillation, the other diagnoses, drugs and procedures find the entry.
    others = [
        tuple((view, frozenset(c for c in codes if not _fibrillation(c))) for view, codes in one) for one in whole
    ]
    assert found(whole) > found(others) > 0.6
