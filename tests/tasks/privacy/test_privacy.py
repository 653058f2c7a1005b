"""The gate: a leaking cohort of any kind must fail it, an honest one must pass."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.evaluation.metrics import UNKNOWN, Estimate
from tasks.privacy.audit_row import audit_row
from tasks.privacy.task import PrivacyError, audit_ecgs
from tasks.settings import ComputeSettings
from tests.stage_outputs import PRIVACY, StageOutputs
from tests.tasks.clinic import cohort_table, people, put_cohort, put_recordings, recordings_table
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


def test_an_honest_cohort_passes(stage_outputs: StageOutputs) -> None:
    facts, rows = read_audit(*stage_outputs.audited[:2])
    assert facts == {"passed": True, "failed": []}
    membership = [row for row in rows if row["metric"] == "AUC"]
    assert len(membership) == 2
    assert all(row["low"] < 0.5 < row["high"] and row["n"] == 250 for row in membership)
    assert [row for row in rows if row["passed"] is None], "alarms are reported without a bound"


def test_copies_with_noise_fail_every_attack(store: Store, recordings: Reference, table: pa.Table) -> None:
    facts, _ = audit(store, recordings, copies(table, 1.0, 0.02), "leaking")
    assert not facts["passed"]
    assert "membership by density ratio: AUC" in facts["failed"]
    assert "membership by distance: AUC" in facts["failed"]
    assert "near copy of a training recording: share copied, all leads" in facts["failed"]


def test_a_single_copy_is_enough_to_fail(store: Store, recordings: Reference, table: pa.Table) -> None:
    facts, rows = audit(store, recordings, copies(table, 1 / 120, 0.02), "one copy")
    assert facts == {"passed": False, "failed": ["near copy of a training recording: share copied, all leads"]}
    assert next(row for row in rows if "all leads" in row["metric"])["value"] == pytest.approx(1 / 120)


def test_copies_too_noisy_for_correlation_are_found_by_membership(
    store: Store, recordings: Reference, table: pa.Table
) -> None:
    facts, _ = audit(store, recordings, copies(table, 1.0, 0.25), "noisy copies")
    assert facts["failed"]
    assert all("membership" in one for one in facts["failed"])


def test_a_condition_that_singles_out_patients_fails(store: Store, recordings: Reference) -> None:
    signal, statements = people(40, seed=98)
    statements[7] = ["NORM", "LVH"]
    facts, rows = audit(store, recordings, cohort_table(signal, statements), "rare condition")
    assert len(facts["failed"]) == 1
    assert "smallest k" in facts["failed"][0]
    assert next(row for row in rows if "smallest k" in row["metric"])["value"] == 0


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("seen on ward 12 by a doctor who wrote this long sentence", "texts that repeat 7 words"),
        ("Findings: ward 12, by a doctor who WROTE this long. Normal.", "texts that repeat 7 words"),
        ("normal ECG, compared with 12.03.1987", "numbers like dates or ids"),
        ("normal ECG, case 4482193", "numbers like dates or ids"),
    ],
)
def test_text_of_a_patient_fails(store: Store, recordings: Reference, text: str, failure: str) -> None:
    signal, statements = people(40, seed=98)
    texts = ["normal ECG, sinus rhythm" for _ in statements]
    texts[3] = text
    facts, _ = audit(store, recordings, cohort_table(signal, statements, texts), text)
    assert any(failure in one for one in facts["failed"])
    assert len(facts["failed"]) == 1


def test_what_many_patients_reports_say_may_be_said(store: Store, table: pa.Table) -> None:
    common = "this sentence of eight words is quite common here"
    texts = [common if row % 5 == 0 else text for row, text in enumerate(table["text"].to_pylist())]
    same = table.set_column(table.column_names.index("text"), table.schema.field("text"), pa.array(texts))
    recordings = put_recordings(store, same)
    signal, statements = people(40, seed=98)
    facts, _ = audit(store, recordings, cohort_table(signal, statements, [common] * 40), "common text")
    assert facts["passed"]


def test_a_bound_on_what_could_not_be_computed_is_not_kept() -> None:
    unknown = audit_row("attack", "AUC", UNKNOWN, 0, PRIVACY, at_most=1.0)
    assert (unknown["value"], unknown["passed"]) == (None, False)
    assert audit_row("attack", "AUC", UNKNOWN, 0, PRIVACY)["passed"] is None


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
