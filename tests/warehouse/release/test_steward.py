"""The steward's summary says what the audit bounds, what it leaves open, and who answers for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.tiny_pipeline import TinyPipeline
from warehouse.release.content import LineageStep, ReleaseContent, ReleaseDescription, gather, manifest_of
from warehouse.release.dataset_card import summary
from warehouse.release.steward import steward_document, steward_summary
from warehouse.release.worst_conditions import WORST_SHOWN, headline_rows, worst_conditions
from warehouse.storage.facts import BeatRejectionFacts, PatientPrivacyFacts
from warehouse.storage.store import Store

DESCRIPTION = ReleaseDescription("tiny", "Tiny cohort", "CC-BY-4.0", "Tests", "", steward="Ada Example")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReleaseContent:
    store = Store(str(tmp_path_factory.mktemp("warehouse")))
    inputs = TinyPipeline(store, simulated=False).commit()
    return gather(store, DESCRIPTION, inputs, "v3", "0123456789abcdef", datetime(2026, 1, 2, tzinfo=UTC))


def with_audit(content: ReleaseContent, **changes: Any) -> ReleaseContent:
    """The same, with changes to its first bounded measurement."""
    first, *others = content.audit
    return replace(content, audit=[{**first, **changes}, *others])


def with_facts(content: ReleaseContent, **changes: Any) -> ReleaseContent:
    """The same, with changes to the audit's facts."""
    return replace(content, audit_facts=content.audit_facts.model_copy(update=changes))


def test_verdict_bounds_and_signature_are_in_the_document(content: ReleaseContent) -> None:
    text = steward_document(content)
    assert "**Verdict: passed.**" in text
    assert "| membership inference | AUC by distance | 0.55 | 0.51 to 0.59 | ≤\u00a00.6 | yes | 100\u00a0% |" in text
    assert "nearest neighbour" not in text  # only reported, so it is no bound
    assert "Ada Example answers for the bounds of this audit" in text and "on 2026-01-02" in text
    assert 'einthoven withdraw tiny v3 --reason "…"' in text
    assert "SIMULATED" not in text


def test_a_release_without_a_steward_says_that_nobody_signed(content: ReleaseContent) -> None:
    unsigned = replace(content, description=replace(DESCRIPTION, steward=""))
    assert steward_summary(unsigned).signature.startswith("Nobody signed this release")


def test_what_kept_training_patients_out_is_counted(content: ReleaseContent) -> None:
    assert content.beat_rejection is None and not content.flow
    assert steward_summary(content).prevention.startswith("The model compares no beat that it draws")
    counted = replace(content, beat_rejection=BeatRejectionFacts(redrawn=1200, redraws=3400, refused=2))
    text = steward_document(counted)
    assert "3,400 times, for 1,200 rows. Left out, because all that was drawn for them lay so near: 2 rows." in text
    of_flow = LineageStep(kind="model", id="0", sha256="0", rows=1, settings={"training": {"generator": "flow"}})
    flow = replace(content, lineage=[of_flow])
    assert flow.flow and "by a flow model that learned from" in summary(flow)


def test_power_is_shown_and_the_weakest_attack_is_a_risk(content: ReleaseContent) -> None:
    tested = steward_summary(with_audit(content, power=0.97))
    assert tested.bounds[0].power == "97\u00a0%"
    assert any("planted for it in 97 of 100 trials" in risk for risk in tested.residual_risk)
    untested = steward_summary(with_audit(content, power=None))
    assert untested.bounds[0].power == "–"
    assert any("planted for it in 0 of 100 trials" in risk for risk in untested.residual_risk)


def test_the_reasons_of_a_verdict_name_bounds_and_power(content: ReleaseContent) -> None:
    kept, power = steward_summary(content).reasons
    assert kept == "All 2 bounds were kept."
    assert power.startswith("Each of the 2 bounds that are about an attack's success was broken in at least 95 of 100")
    broken = steward_summary(with_audit(content, passed=False, power=0.5)).reasons
    assert broken[0] == "Bound broken: membership inference: AUC by distance."
    assert "it found planted records (own beats throughout) in 50 of 100 trials, and 95 are needed" in broken[1]
    counted = steward_summary(with_audit(content, canary=None, power=None)).reasons
    assert counted[-1] == "Bounds on what was counted in the released rows themselves, which need no such test: 1."
    assert f"\n- {kept}\n- {power}\n" in steward_document(content)


def test_residual_risk_and_what_is_less_than_the_default_are_in_plain_words(content: ReleaseContent) -> None:
    widened = "privacy.max_membership_auc is 0.65, by default 0.55"
    text = steward_document(with_facts(content, widened=[widened]))
    assert (
        "the most successful of 1 attacks (membership inference; AUC by distance) names the right one in up to" in text
    )
    assert "names the right one in up to 59 of 100 cases; guessing names 50" in text
    assert f"less than the default\n\n- {widened}\n" in text
    assert "Nowhere: every bound is the default one." in steward_document(content)


def spent(epsilon: float) -> PatientPrivacyFacts:
    return PatientPrivacyFacts(
        epsilon=epsilon,
        delta=1e-5,
        unit="patient",
        patients=100,
        sampling_rate=0.1,
        noise_multiplier=1.0,
        steps=10,
        largest_gradient=1.0,
        accountant="rdp",
    )


def test_guarantees_of_training_are_in_the_document_and_the_manifest(content: ReleaseContent) -> None:
    def of(**facts: Any) -> ReleaseContent:
        return replace(content, model_facts=content.model_facts.model_copy(update=facts))

    both = of(privacy={"prior": spent(1.0), "flow": spent(2.5)}, losses={"prior": {}, "flow": {}})
    text = steward_document(both)
    assert "(prior: ε = 1, δ = 1e-05; flow: ε = 2.5, δ = 1e-05)" in text
    assert "Together the weights give at most ε = 3.5, δ = 2e-05" in text and "33.12 times as likely" in text
    assert manifest_of(both, []).differential_privacy["flow"].epsilon == 2.5
    only = of(privacy={"prior": spent(1.0)}, losses={"prior": {}, "flow": {}})
    assert "Trained without it: flow. So the model as a whole guarantees nothing." in steward_document(only)
    assert "Differential privacy" not in steward_document(content)
    assert manifest_of(content, []).differential_privacy == {}


@pytest.mark.parametrize("verdict", ["refused", "inconclusive"])
def test_another_verdict_says_that_the_cohort_must_not_be_published(content: ReleaseContent, verdict: str) -> None:
    text = steward_document(with_facts(content, verdict=verdict))
    assert f"**Verdict: {verdict}.**" in text and "must not be published" in text


def condition_row(condition: str, value: float | None, reference: float | None, unit: str) -> dict[str, Any]:
    return {
        "aspect": "fidelity",
        "condition": condition,
        "value": value,
        "reference": reference,
        "unit": unit,
        "flag": None,
    }


def test_of_many_rows_of_single_conditions_the_farthest_of_each_unit_are_shown() -> None:
    rows = [condition_row(f"S{number}", number / 100, 0.0, "share") for number in range(50)]
    rows += [condition_row("INTERVAL", 240.0, 200.0, "ms"), condition_row("NEAR", 201.0, 200.0, "ms")]
    rows += [condition_row("NONE", None, 0.5, "share"), {**condition_row("FEW", 1.0, 0.0, "share"), "flag": "few"}]
    rows += [{**rows[0], "condition": None}]
    assert headline_rows(rows) == rows[-1:]
    farthest, count = worst_conditions(rows)["fidelity"]
    assert count == 54 and len(farthest) == WORST_SHOWN
    assert [row["condition"] for row in farthest[:3]] == ["S49", "INTERVAL", "S48"]
    assert {"NEAR", "NONE", "FEW"}.isdisjoint(row["condition"] for row in farthest)
