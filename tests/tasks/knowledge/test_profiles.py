from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.knowledge.describing import profile
from tasks.knowledge.evidence import Evidence, EvidenceGroup, TrainingRecordings
from tasks.knowledge.profiles import Profiles
from tasks.knowledge.report_lines import ReportLines
from tasks.settings import KnowledgeSettings
from tests.tasks.knowledge.patients import recordings_table

ADMISSIONS = {
    # Four patients, the first with two recordings, as a source with coded admissions would describe them.
    "diagnoses": [["I48", "I10"], ["I50"], ["I48", "I10"], ["I21"], []],
    "medications": [["warfarin"], [], ["warfarin", "bisoprolol"], ["aspirin"], []],
    "procedures": [[], [], [], ["stent"], []],
}
PATIENTS = np.array([0, 0, 1, 2, 3])


def test_similarity_is_the_sum_of_jaccards() -> None:
    profiles = Profiles(PATIENTS, ADMISSIONS)
    # Patient 0 holds I48, I10 and I50 over both recordings: 2 of 3 diagnoses shared with patient 1, 1 of 2 medications.
    found = profiles.similarity(np.array([0, 2]), np.array([1, 2]))
    np.testing.assert_allclose(found, [[2 / 3 + 1 / 2, 0], [0, 3]], atol=1e-6)


def test_the_most_typical_patients_are_most_like_the_others() -> None:
    views = {"statements": [["A", "B"]] * 5 + [["A"], ["A", "C", "D"]]}
    profiles = Profiles(np.arange(7), views)
    assert profiles.most_typical(np.arange(7), 5).tolist() == [0, 1, 2, 3, 4]
    large = Profiles(np.arange(3000), {"statements": [["A", f"S{row % 7}"] for row in range(3000)]})
    assert len(large.most_typical(np.arange(3000), 50)) == 50


def test_shares_are_of_patients() -> None:
    assert Profiles(PATIENTS, ADMISSIONS).shares("diagnoses", np.array([0, 1]))[:2] == [("I10", 1.0), ("I48", 1.0)]
    assert Profiles(PATIENTS, ADMISSIONS).shares("axis", np.array([0])) == []


def coded() -> pa.Table:
    """Bundle branch block, most of it with a coded left axis, and reports."""
    table = recordings_table(truth={("CLBBB",): {"qrs_ms": 152}, ("NORM",): {}})
    block = [number < 24 for number in range(len(table))]
    axes = [[{"view": "axis", "codes": ["LAD"]}] if here and row % 4 else [] for row, here in enumerate(block)]
    texts = ["Sinus rhythm. Left bundle branch block." if here else "sinus rhythm. normal." for here in block]
    for name, values in (("coded_views", axes), ("text", texts)):
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array(values, table.schema.field(name).type)
        )
    return table


def test_the_model_is_told_how_patients_are_coded_and_what_their_reports_share() -> None:
    training = TrainingRecordings(coded())
    evidence = Evidence(EvidenceGroup("CLBBB"), training)

    def stated(settings: KnowledgeSettings) -> list[str]:
        return profile(evidence, ReportLines(training.reports, training.patients, settings.min_patients), settings)

    assert stated(KnowledgeSettings()) == [
        "coded axis LAD in 75%",
        "reports often say: left bundle branch block",
    ]
    assert stated(KnowledgeSettings(report_lines=0)) == ["coded axis LAD in 75%"]
    # 24 patients share the line, fewer than a stricter bound asks for.
    assert stated(KnowledgeSettings(min_patients=25)) == ["coded axis LAD in 75%"]


def test_a_source_without_coded_views_has_only_its_statements() -> None:
    training = TrainingRecordings(recordings_table())
    assert set(training.profiles.codes) == {"statements"}
    assert Evidence(EvidenceGroup("CLBBB"), training).typical_codes(0.3) == []
    assert len(Evidence(EvidenceGroup("SR"), training).typical_patients(10)) == 10
