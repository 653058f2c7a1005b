"""The gate: a leaking cohort of any kind must fail it, an honest one must pass."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from models.ecg.r_peaks import in_samples, locate_r_peaks
from models.evaluation.metrics import UNKNOWN, Estimate
from models.privacy import canaries
from models.privacy.canaries import Ecgs
from tasks.ecg_sets import EcgSet, read_recordings
from tasks.privacy.attacks.disclosure import disclosure_rows
from tasks.privacy.attacks.linkage import GATE
from tasks.privacy.attacks.membership import THROUGHOUT
from tasks.privacy.audit import facts_of
from tasks.privacy.audit_row import audit_row
from tasks.privacy.power import NOTHING
from tasks.privacy.task import AT_RISK_FILE, PrivacyError, audit_ecgs
from tasks.settings import ComputeSettings
from tests.models.synthetic_hearts import RATE_HZ
from tests.stage_outputs import PRIVACY, StageOutputs
from tests.tasks.clinic import STATEMENTS, cohort_table, people, put_cohort, put_recordings, recordings_table
from warehouse import schema
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import from_lead_columns


@pytest.fixture(scope="module")
def store(stage_outputs: StageOutputs) -> Store:
    return stage_outputs.audited[0]


@pytest.fixture(scope="module")
def recordings(stage_outputs: StageOutputs) -> Reference:
    return stage_outputs.audited[3]


@pytest.fixture(scope="module")
def table(store: Store, recordings: Reference) -> pa.Table:
    return store.read(recordings, "recordings")


def audit(store: Store, recordings: Reference, cohort: pa.Table, name: str) -> tuple[dict, list[dict]]:
    reference = put_cohort(store, recordings, cohort, name)
    return read_audit(store, audit_ecgs.fn(PRIVACY, reference, recordings, ComputeSettings(), str(store.root)))


def read_audit(store: Store, found: Reference) -> tuple[dict, list[dict]]:
    table = store.read(found, "audits")
    assert table.schema.equals(schema.audits())
    return store.manifest(found).facts, table.to_pylist()


def copies(table: pa.Table, share: float, noise_mv: float) -> pa.Table:
    """A cohort of which a share are training recordings, shifted by a third of a second, with noise."""
    signal, statements = people(120, seed=99)
    train = np.flatnonzero(np.array(table["split"].to_pylist()) == "train")[: round(share * 120)]
    copied = np.roll(from_lead_columns(table)[train], 33, axis=2)
    signal[: len(train)] = copied + np.random.default_rng(1).normal(0, noise_mv, copied.shape)
    return cohort_table(signal, statements)


def test_an_honest_cohort_passes_with_proven_power(stage_outputs: StageOutputs) -> None:
    store, made, *_ = stage_outputs.audited
    facts, rows = read_audit(store, made)
    assert (facts["verdict"], facts["failed"], facts["powerless"]) == ("passed", [], [])
    areas = [row for row in rows if row["metric"] == "AUC, records"]
    assert len(areas) == 4, "two attacks in two spaces"
    assert all(row["low"] < 0.5 < row["high"] and row["n"] == 225 for row in areas)
    bounded = [row for row in rows if row["canary"]]
    assert {row["canary"] for row in bounded} == {canaries.BEATS, canaries.FITTED, canaries.RECORDINGS, THROUGHOUT}
    assert all(row["power"] >= 0.95 and row["threshold"] is not None for row in bounded)
    assert [row for row in rows if row["passed"] is None], "alarms are reported without a bound"
    at = {(one["attack"], one["canary"], one["share"], one["rows"]): one["power"] for one in facts["power"]}
    gate = "beat gate, identifying space"
    assert at[gate, canaries.BEATS, 0.005, 100] <= at[gate, canaries.BEATS, 0.05, 160] == 1
    planted = [one for one in facts["power"] if one["share"]]
    assert {(one["rows"], one["trials"]) for one in planted} == {(100, 20), (160, 20)}
    alone = [one for one in facts["power"] if one["canary"] == NOTHING]
    assert {(one["rows"], one["trials"], one["share"]) for one in alone} == {(100, 1, 0.0), (160, 1, 0.0)}
    assert all(one["power"] == 0 for one in alone if one["rows"] == 160), "the cohort keeps its bounds"


def test_an_audit_says_which_bounds_are_not_the_default_ones(stage_outputs: StageOutputs) -> None:
    facts, rows = read_audit(*stage_outputs.audited[:2])
    assert "privacy.max_beat_share is 0.05, by default 0.005" in facts["widened"]
    assert any("1 % false positives has no bound: 25 non-members" in one for one in facts["widened"])
    assert not any("min_power" in one for one in facts["widened"])
    lax = facts_of(rows, {}, PRIVACY.model_copy(update={"min_power": 0.0}), 25, None)
    assert "privacy.min_power is 0, by default 0.95" in lax.widened
    assert any("mixed beats need not be found" in one for one in facts["widened"])
    gates = [row for row in rows if row["setting"] == "max_beat_share"]
    assert [(gate["threshold"], gate["default_threshold"]) for gate in gates] == [(0.05, 0.005)] * 2


def test_records_at_risk_stay_in_the_warehouse(stage_outputs: StageOutputs) -> None:
    store, made, _, recordings = stage_outputs.audited
    listed = json.loads((store.path(made) / AT_RISK_FILE).read_text())
    assert len(listed) == 20
    table = store.read(recordings, "recordings")
    split = dict(zip(table["recording_id"].to_pylist(), table["split"].to_pylist(), strict=True))
    assert {split[one["recording_id"]] for one in listed} == {"train"}


def test_copies_with_noise_fail_every_attack(store: Store, recordings: Reference, table: pa.Table) -> None:
    facts, _ = audit(store, recordings, copies(table, 1.0, 0.02), "leaking")
    assert facts["verdict"] == "refused"
    failed = set(facts["failed"])
    assert {
        f"membership by {by}, identifying space: AUC, records" for by in ("density ratio", "calibrated distance")
    } <= failed
    assert {"near copy of a training recording: share copied", f"beat gate, identifying space: {GATE}"} <= failed


def test_training_patients_beats_in_other_rhythms_are_refused(
    store: Store, recordings: Reference, table: pa.Table
) -> None:
    members = read_recordings(store, recordings, "train")
    signal, statements = people(120, seed=99)
    own = Ecgs(members.signal[:12], in_samples(members.r_peaks_s[:12], RATE_HZ))
    hosts = Ecgs(signal[:12], locate_r_peaks(signal[:12], RATE_HZ))
    signal[:12] = canaries.planted(canaries.BEATS, own, hosts, RATE_HZ, np.arange(12)).signal
    facts, rows = audit(store, recordings, cohort_table(signal, statements), "planted beats")
    assert f"beat gate, identifying space: {GATE}" in facts["failed"]
    assert facts["verdict"] == "refused"
    assert next(row for row in rows if row["metric"] == "share copied")["value"] == 0


def test_a_single_copy_is_enough_to_fail(store: Store, recordings: Reference, table: pa.Table) -> None:
    facts, rows = audit(store, recordings, copies(table, 1 / 120, 0.02), "one copy")
    assert "near copy of a training recording: share copied" in facts["failed"]
    assert next(row for row in rows if row["metric"] == "share copied")["value"] == pytest.approx(1 / 120)


def test_a_condition_that_singles_out_patients_fails(store: Store, recordings: Reference) -> None:
    signal, statements = people(9, seed=98)
    statements[7] = ["NORM", "LVH"]
    synthetic = EcgSet(cohort_table(signal, statements), signal, np.arange(9))
    members = read_recordings(store, recordings, "train")
    failed = [
        row for row in disclosure_rows(synthetic, members, [members], STATEMENTS, PRIVACY) if row["passed"] is False
    ]
    assert [(row["setting"], row["value"]) for row in failed] == [("min_group_patients", 0)]


@pytest.mark.parametrize(
    ("text", "failures"),
    [
        ("seen on ward 12 by a doctor who wrote this long sentence", {"that repeat 7 words", "with names of sites"}),
        ("Findings: W 12, BY a doctor who WROTE this long sentence.", {"that repeat 7 words"}),
        ("normal ECG, compared with 12.03.1987", {"with numbers like dates or ids"}),
        ("normal ECG, case 4482193", {"with numbers like dates or ids"}),
        ("normal ECG, read by Dr. Smith", {"with names of people"}),
        ("normal ECG, written by a CS-12", {"with names of devices"}),
        ("normal ECG at St. Mary's Hospital", {"with names of sites"}),
        ("normal ECG, sinus rhythm", set()),
    ],
)
def test_text_of_a_patient_fails(store: Store, recordings: Reference, text: str, failures: set[str]) -> None:
    signal, statements = people(3, seed=98)
    texts = ["normal ECG, sinus rhythm", text, "normal ECG, sinus rhythm"]
    table = cohort_table(signal, statements, texts)
    synthetic, members = EcgSet(table, signal, np.arange(3)), read_recordings(store, recordings, "train")
    rows = [
        row for row in disclosure_rows(synthetic, members, [members], STATEMENTS, PRIVACY) if row["passed"] is False
    ]
    assert len(rows) == len(failures)
    assert all(any(failure in row["metric"] for row in rows) for failure in failures)


def test_what_many_patients_reports_say_may_be_said(store: Store, table: pa.Table, recordings: Reference) -> None:
    common = "this sentence of eight words is quite common here"
    texts = [common if row % 5 == 0 else text for row, text in enumerate(table["text"].to_pylist())]
    members = read_recordings(store, recordings, "train")
    real = EcgSet(
        table.set_column(table.column_names.index("text"), table.schema.field("text"), pa.array(texts)),
        np.zeros((len(table), 8, 1)),
        np.array(table["patient_key"].to_pylist()),
    )
    signal, statements = people(5, seed=98)
    synthetic = EcgSet(cohort_table(signal, statements, [common] * 5), signal, np.arange(5))
    assert not [
        row for row in disclosure_rows(synthetic, members, [real], STATEMENTS, PRIVACY) if row["passed"] is False
    ]


def test_a_bound_on_what_could_not_be_computed_is_not_kept() -> None:
    unknown = audit_row("attack", "AUC", UNKNOWN, 0, PRIVACY, at_most=1.0)
    assert (unknown["value"], unknown["passed"]) == (None, False)
    assert audit_row("attack", "AUC", UNKNOWN, 0, PRIVACY)["passed"] is None


def test_an_attack_without_power_makes_the_audit_inconclusive_and_each_bound_can_refuse(
    stage_outputs: StageOutputs,
) -> None:
    store, made, *_ = stage_outputs.audited
    _, rows = read_audit(store, made)
    bounded = [number for number, row in enumerate(rows) if row["threshold"] is not None]
    assert len(bounded) > 15
    for number in bounded:
        broken = [{**row, "passed": False} if at == number else row for at, row in enumerate(rows)]
        facts = facts_of(broken, {}, PRIVACY, 100, None)
        assert (facts.verdict, len(facts.failed)) == ("refused", 1)
        if rows[number]["canary"]:
            weak = [{**row, "power": 0.94} if at == number else row for at, row in enumerate(rows)]
            facts = facts_of(weak, {}, PRIVACY, 100, None)
            assert (facts.verdict, len(facts.powerless), facts.failed) == ("inconclusive", 1, [])


def test_the_upper_end_of_an_attacks_interval_is_bounded() -> None:
    assert audit_row("attack", "AUC", Estimate(0.5, 0.4, 0.61), 9, PRIVACY, at_most=0.6)["passed"] is False
    assert audit_row("attack", "AUC", Estimate(0.5, 0.4, 0.59), 9, PRIVACY, at_most=0.6)["passed"] is True
    assert (
        audit_row("copies", "share", Estimate(0.0, 0.0, 0.01), 9, PRIVACY, at_most=0.0, bounded="value")["passed"]
        is True
    )


def test_too_few_held_out_recordings_are_refused(store: Store) -> None:
    recordings = put_recordings(store, recordings_table(30))
    cohort = put_cohort(store, recordings, cohort_table(*people(10, seed=5)), "small")
    with pytest.raises(PrivacyError, match="at least 10 each"):
        audit_ecgs.fn(PRIVACY, cohort, recordings, ComputeSettings(), str(store.root))
