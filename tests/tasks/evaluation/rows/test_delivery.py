"""Delivery rows: own labels pass, other people's labels, other leads and missing waves do not; on real ECGs too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.ecg.measurements import measure
from models.ecg.r_peaks import locate_r_peaks
from models.leads import INDEPENDENT_LEADS
from tasks.conditions.criteria import CLAIMS, RULES, Criterion, kept_claims
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.delivery import DISTANCE, delivery_rows
from tasks.evaluation.rows.independent_delineator import until_next
from tasks.evaluation.rows.row import EvaluationRow
from tasks.knowledge.claims import Claim
from tasks.settings import EvaluationSettings
from tests.tasks.clinic import lineage
from tests.tasks.knowledge.patients import recordings_table
from warehouse import schema
from warehouse.sources.registry import open_source
from warehouse.storage.store import Store
from warehouse.storage.waveforms import to_measured_columns, to_r_peak_column

WIDE = Claim(feature="qrs_ms", comparison="above", value=120, unit="ms")
CLAIM = Criterion(CLAIMS, "CLBBB", WIDE.line({}), WIDE)


def ecg_set(seed: int) -> EcgSet:
    """Forty measured recordings of each condition of `TRUTH`; their leads are flat."""
    table = recordings_table(40, seed)
    table = table.set_column(
        table.schema.get_field_index("r_peak_s"), "r_peak_s", pa.array([[]] * len(table), pa.list_(pa.float32()))
    )
    patients = table["patient_key"].to_numpy(zero_copy_only=False)
    return EcgSet(table, np.zeros((len(table), len(INDEPENDENT_LEADS), 4), np.float32), patients)


def labelled(ecgs: EcgSet, statements: list[list[str]]) -> EcgSet:
    """The ECGs under other statements, as a cohort has them."""
    place = ecgs.table.schema.get_field_index("statements")
    return replace(ecgs, table=ecgs.table.set_column(place, "statements", pa.array(statements)))


def own_statements(ecgs: EcgSet) -> list[list[str]]:
    return [sorted(codes) for codes in ecgs.statements]


def shuffled(ecgs: EcgSet) -> EcgSet:
    own = own_statements(ecgs)
    return labelled(ecgs, [own[row] for row in np.random.default_rng(1).permutation(len(own))])


def rows_of(train: EcgSet, held_out: EcgSet, synthetic: EcgSet, *claims: Criterion) -> list[EvaluationRow]:
    settings = EvaluationSettings(bootstrap_samples=30)
    return list(delivery_rows(Compared(train, held_out, synthetic, {}, {}, 100, settings, np.array([])), claims))


def distance(rows: list[EvaluationRow], kind: str = RULES) -> EvaluationRow:
    return next(one for one in rows if one["metric"] == DISTANCE and one["subject"].endswith(kind))


def test_own_labels_are_delivered_as_real_ones_and_shuffled_labels_are_not() -> None:
    train, held_out, cohort = (ecg_set(seed) for seed in (1, 2, 3))
    own = rows_of(train, held_out, labelled(cohort, own_statements(cohort)), CLAIM)
    other = rows_of(train, held_out, shuffled(cohort), CLAIM)
    for kind in (RULES, CLAIMS):
        assert distance(own, kind)["value"] <= distance(own, kind)["reference"] + 0.03
        assert distance(other, kind)["low"] > 0.2
    irregular = {one["subject"]: one for one in own if one["metric"] == "RR irregularity above 0.1"}
    synthetic, real = irregular[f"synthetic, {RULES}"], irregular[f"real, {RULES}"]
    assert synthetic["condition"] == "AFIB" and synthetic["n"] == 40 and synthetic["flag"] is None
    assert synthetic["reference"] == real["value"] and real["low"] < real["value"]


def test_a_statement_counts_wherever_it_stands_and_groups_are_those_of_the_claim() -> None:
    train, held_out, cohort = (ecg_set(seed) for seed in (1, 2, 3))
    women = replace(CLAIM, words="QRS duration above 120 ms (female)", sex="female")
    rows = rows_of(train, held_out, labelled(cohort, [codes[::-1] for codes in own_statements(cohort)]), CLAIM, women)
    n = {one["metric"]: one["n"] for one in rows if one["subject"] == f"synthetic, {CLAIMS}"}
    assert n["QRS duration above 120 ms"] == 40 and n["QRS duration above 120 ms (female)"] == 20


def test_few_recordings_are_flagged_and_their_share_is_not_told() -> None:
    train, held_out, cohort = (ecg_set(seed) for seed in (1, 2, 3))
    few = held_out.take(np.flatnonzero(["CLBBB" not in codes for codes in held_out.statements]))
    (row,) = [one for one in rows_of(train, few, cohort, CLAIM) if one["metric"] == CLAIM.words]
    assert row["flag"] == "too few real recordings" and row["reference"] is None and row["value"] > 0.9
    little = cohort.take(np.arange(len(cohort)) % 10 == 0)
    flags = {one["flag"] for one in rows_of(train, held_out, little, CLAIM) if one["metric"] == CLAIM.words}
    assert flags == {"too few rows", None}
    nothing = distance(rows_of(train, held_out, little, CLAIM), CLAIMS)
    assert nothing["value"] is None and nothing["n"] == 0 and nothing["flag"] == "too few rows"


def test_planted_copies_of_training_recordings_are_delivered_like_the_training_recordings() -> None:
    """Delivery does not see copying; the audit does."""
    train, held_out = ecg_set(1), ecg_set(2)
    row = distance(rows_of(train, held_out, replace(train, patients=np.array([f"s{n}" for n in range(len(train))]))))
    assert row["value"] == pytest.approx(row["reference"])


def test_claims_are_read_from_the_knowledge_base_if_they_were_kept_and_are_about_ecgs(tmp_path: Path) -> None:
    verdict = {"support": 1.0, "support_low": 0.9, "elsewhere": 0.1, "author": "model"}
    together = Claim(feature="statement:SR", comparison="present", value=1)
    claims = [
        WIDE.model_dump() | verdict | {"verdict": "kept"},
        together.model_dump() | verdict | {"verdict": "kept"},
        WIDE.model_copy(update={"value": 140}).model_dump() | verdict | {"verdict": "refuted"},
    ]
    about = {field.name: None for field in schema.knowledge()} | {"statement": "CLBBB", "claims": claims}
    text = ("entry_id", "condition", "narrative", "model", "prompt_version", "embedding_model")
    counts = [field.name for field in schema.knowledge() if pa.types.is_integer(field.type)]
    entry = about | dict.fromkeys(text, "x") | dict.fromkeys(counts, 1) | {"rendered": False}
    store = Store(str(tmp_path))
    with store.stage("knowledge", "0" * 16) as staging:
        entries = [entry, entry | {"sex": "female", "age_band": "60-79"}]
        staging.write_table("knowledge", 0, pa.Table.from_pylist(entries, schema=schema.knowledge()))
        knowledge = staging.commit(2, lineage("build knowledge", []))
    found = kept_claims(store, knowledge)
    assert [one.words for one in found] == ["QRS duration above 120 ms", "QRS duration above 120 ms (female, 60-79)"]
    assert found[0].claim == WIDE and (found[1].sex, found[1].age_band) == ("female", "60-79")


def measured_set(signal: np.ndarray, statements: list[list[str]], patients: list[str]) -> EcgSet:
    r_peaks = locate_r_peaks(signal, 100)
    columns = {
        "statements": pa.array(statements),
        "sex": pa.nulls(len(signal), pa.string()),
        "age_years": pa.nulls(len(signal), pa.float32()),
        "r_peak_s": to_r_peak_column(r_peaks, 100),
        **to_measured_columns(measure(signal, r_peaks, 100)),
    }
    return EcgSet(pa.table(columns), signal, np.array(patients, dtype=object))


@pytest.mark.slow
def test_real_ecgs_deliver_their_own_statements_and_nobody_elses(shared_data: Path) -> None:
    """Some patients of PTB-XL stand for the training split and for a cohort, others are held out."""
    source, sets = open_source("ptbxl", shared_data / "ptbxl"), []
    everything = source.records()
    for among in (range(1, 4), range(8, 11)):
        records = [one for one in everything if one.strat_fold in among]
        signal = np.stack([source.read(one, 100) for one in records])
        statements = [[code for code, _ in one.statements] for one in records]
        sets.append(measured_set(signal, statements, [one.patient for one in records]))
    cohort, held_out = sets
    own, other = (distance(rows_of(cohort, held_out, one)) for one in (cohort, shuffled(cohort)))
    assert own["n"] >= 13
    assert own["value"] < 0.07 and own["low"] < 0.03
    assert other["low"] > 0.3


def test_waves_are_paired_by_time_though_the_delineator_leaves_some_out() -> None:
    p_onsets, r_onsets = np.array([np.nan, 100.0, 180.0, 260.0, 340.0]), np.array([40.0, 116.0, 197.0, np.nan, 276.0])
    assert until_next(p_onsets, r_onsets).tolist() == [16.0, 17.0, 16.0]
    assert until_next(p_onsets[1:3], r_onsets[:1]).tolist() == []
