from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.leads import STANDARD_LEADS
from tasks.knowledge.audit import audit
from tasks.knowledge.claims import Claim
from tasks.knowledge.evidence import Evidence, EvidenceGroup, TrainingRecordings
from tests.tasks.knowledge.patients import recordings_table


@pytest.fixture(scope="module")
def training() -> TrainingRecordings:
    return TrainingRecordings(recordings_table())


def test_conditions_need_enough_patients_not_recordings() -> None:
    table = recordings_table(patients=12)
    one_patient = table.set_column(
        table.schema.get_field_index("patient_key"), "patient_key", pa.array(["p"] * len(table))
    )
    assert TrainingRecordings(one_patient).groups(min_patients=2, by_sex_and_age=False) == []
    found = dict(TrainingRecordings(table).groups(min_patients=12, by_sex_and_age=False))
    assert found[EvidenceGroup("SR")] == 36 and found[EvidenceGroup("AFIB")] == 12


def test_only_the_training_split_is_read() -> None:
    tested = recordings_table(patients=30, seed=2, truth={("AFIB",): {"heart_rate_bpm": 250}}, split="test")
    training = TrainingRecordings(pa.concat_tables([recordings_table(), tested]))
    evidence = Evidence(EvidenceGroup("AFIB"), training)
    assert evidence.patients == evidence.recordings == 24
    assert evidence.share(Claim(feature="heart_rate_bpm", comparison="above", value=200, unit="bpm")).share == 0


def test_a_likelihood_of_zero_still_states(training: TrainingRecordings) -> None:
    assert Evidence(EvidenceGroup("SR"), training).recordings == 72  # the table gives rhythms likelihood 0


def test_who_is_typical_does_not_depend_on_how_a_warehouse_hides_names(training: TrainingRecordings) -> None:
    table = recordings_table()
    names = table["patient_key"].to_pylist()
    hidden = np.random.default_rng(7).permutation(len(names)).astype(str)
    elsewhere = TrainingRecordings(
        table.set_column(table.schema.get_field_index("patient_key"), "patient_key", pa.array(hidden))
    )
    # All of a group have the same statements, so that only their order tells them apart.
    ours = Evidence(EvidenceGroup("AFIB"), training).typical_patients(most=5)
    theirs = Evidence(EvidenceGroup("AFIB"), elsewhere).typical_patients(most=5)
    assert (
        np.isin(training.patients, ours).nonzero()[0].tolist()
        == np.isin(elsewhere.patients, theirs).nonzero()[0].tolist()
    )


def test_groups_of_one_sex_and_age_band_hold_only_those(training: TrainingRecordings) -> None:
    groups = training.groups(min_patients=5, by_sex_and_age=True)
    women = next(group for group, _ in groups if group.sex == "female" and group.age_band == "60-79")
    member = Evidence(women, training).member
    assert member.any() and set(training.sexes[member]) == {"female"} and set(training.age_bands[member]) == {"60-79"}


def test_what_sets_a_condition_apart_comes_first(training: TrainingRecordings) -> None:
    block = Evidence(EvidenceGroup("CLBBB"), training).distributions
    assert {(one.feature, one.lead) for one in block[:2]} == {("qrs_ms", None), ("t_amplitude_mv", "lateral")}
    qrs = next(one for one in block if one.feature == "qrs_ms")
    assert qrs.quartiles[0] <= qrs.quartiles[1] <= qrs.quartiles[2]
    assert qrs.quartiles[1] == pytest.approx(152, abs=4) and qrs.rest_median == pytest.approx(92, abs=3)


def test_a_feature_that_most_recordings_lack_is_no_evidence(training: TrainingRecordings) -> None:
    evidence = Evidence(EvidenceGroup("AFIB"), training)
    assert "pr_ms" not in {one.feature for one in evidence.distributions}
    assert not audit(Claim(feature="pr_ms", comparison="above", value=100, unit="ms"), evidence, 0.6, "model").kept


def test_territories_are_the_mean_of_their_leads() -> None:
    table = recordings_table(patients=1, truth={("IMI",): {"st": {"II": 0.1, "III": 0.4, "aVF": 0.4}}})
    leads = dict(zip(STANDARD_LEADS, table["st_level_mv"].to_pylist()[0], strict=True))
    expected = (leads["II"] + leads["III"] + leads["aVF"]) / 3
    assert TrainingRecordings(table).values("st_level_mv", "inferior")[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("claim", "kept"),
    [
        (Claim(feature="qrs_ms", comparison="above", value=120, unit="ms"), True),
        (Claim(feature="qrs_ms", comparison="above", value=152, unit="ms"), False),  # true of about half
        (Claim(feature="qrs_ms", comparison="below", value=120, unit="ms"), False),
        (Claim(feature="t_amplitude_mv", lead="V6", comparison="below", value=0, unit="mV"), True),
        (Claim(feature="p_present", comparison="present", value=1), True),
        (Claim(feature="statement:SR", comparison="present", value=1), True),
        (Claim(feature="statement:AFIB", comparison="present", value=1), False),
    ],
)
def test_the_audit_keeps_what_most_recordings_show(training: TrainingRecordings, claim: Claim, kept: bool) -> None:
    verdict = audit(claim, Evidence(EvidenceGroup("CLBBB"), training), 0.7, "model")
    assert verdict.kept is kept
    assert verdict.support >= 0.7 or not kept


def test_a_recording_without_any_training_row_is_no_problem() -> None:
    assert TrainingRecordings(recordings_table(split="test")).groups(5, by_sex_and_age=True) == []


def test_a_statement_that_all_recordings_share_has_nothing_to_be_compared_with() -> None:
    training = TrainingRecordings(recordings_table(truth={("SR",): {}}))
    evidence = Evidence(EvidenceGroup("SR"), training)
    assert {one.rest_median for one in evidence.distributions} == {None}
    assert audit(Claim(feature="p_present", comparison="present", value=1), evidence, 0.6, "model").elsewhere is None


def test_the_audit_counts_patients_not_recordings() -> None:
    """Ten patients out of twelve are no proof of 60 %, however often each was recorded."""
    table = recordings_table(patients=12, truth={("CLBBB",): {"qrs_ms": 152}})
    slow = pa.array([90.0 if row < 2 else 152.0 for row in range(12)], pa.float32())
    table = table.set_column(table.schema.get_field_index("qrs_ms"), "qrs_ms", slow)
    wide = Claim(feature="qrs_ms", comparison="above", value=120, unit="ms")
    once = audit(wide, Evidence(EvidenceGroup("CLBBB"), TrainingRecordings(table)), 0.6, "model")
    often = audit(
        wide, Evidence(EvidenceGroup("CLBBB"), TrainingRecordings(pa.concat_tables([table] * 9))), 0.6, "model"
    )
    assert once.support == often.support == pytest.approx(10 / 12)
    assert once.support_low == often.support_low < 0.6 and not once.kept and not often.kept


def test_another_split_is_read_only_when_asked_for() -> None:
    table = pa.concat_tables([recordings_table(patients=6), recordings_table(patients=9, seed=2, split="test")])
    assert Evidence(EvidenceGroup("AFIB"), TrainingRecordings(table, split="test")).recordings == 9


def test_quartiles_are_those_of_similar_patients_and_of_enough_of_them(training: TrainingRecordings) -> None:
    block, fibrillation = (Evidence(EvidenceGroup(code), training) for code in ("CLBBB", "AFIB"))
    found = {(one.feature, one.lead): one for one in block.quartiles(most=50, min_patients=20)}
    of_group = next(one for one in block.distributions if one.feature == "qrs_ms")
    assert found["qrs_ms", None].quartiles == pytest.approx(of_group.quartiles) and found["qrs_ms", None].patients == 24
    assert found["t_amplitude_mv", "lateral"].quartiles[1] == pytest.approx(-0.18, abs=0.03)
    # Of ten patients nothing is said that must be of twenty; without P waves there is no PR interval.
    assert block.quartiles(most=10, min_patients=20) == []
    few = {one.feature: one for one in fibrillation.quartiles(most=10, min_patients=10)}
    assert few["heart_rate_bpm"].patients == 10 and "pr_ms" not in few and few["p_present"].quartiles == (0, 0, 0)
    chosen = np.isin(training.patients, fibrillation.typical_patients(10))
    assert few["heart_rate_bpm"].quartiles[1] == pytest.approx(np.median(training.values("heart_rate_bpm")[chosen]))
