"""The steward's summary says what the audit bounds, what it leaves open, and who answers for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.tiny_pipeline import TinyPipeline
from warehouse.release.content import ReleaseContent, ReleaseDescription, gather
from warehouse.release.steward import steward_document, steward_summary
from warehouse.release.worst_conditions import WORST_SHOWN, headline_rows, worst_conditions
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


def test_verdict_bounds_and_signature_are_in_the_document(content: ReleaseContent) -> None:
    text = steward_document(content)
    assert "**Verdict: passed.**" in text
    assert "| membership inference | AUC by distance | 0.55 | 0.51 to 0.59 | 0.6 | yes | – |" in text
    assert "nearest neighbour" not in text  # only reported, so it is no bound
    assert "Ada Example answers for the bounds above" in text and "on 2026-01-02" in text
    assert 'einthoven withdraw tiny v3 --reason "…"' in text
    assert "SIMULATED" not in text


def test_a_release_without_a_steward_says_that_nobody_signed(content: ReleaseContent) -> None:
    unsigned = replace(content, description=replace(DESCRIPTION, steward=""))
    assert steward_summary(unsigned).signature.startswith("Nobody signed this release")


def test_power_is_shown_and_an_untested_bound_is_a_risk(content: ReleaseContent) -> None:
    canary = "beats in new rhythms"
    untested = steward_summary(with_audit(content, canary=canary)).residual_risk
    assert any("1 of 2 bounded measurements were not tested with planted records" in risk for risk in untested)
    tested = steward_summary(with_audit(content, power=0.97, canary=canary))
    assert tested.bounds[0].power == "97 %"
    assert any("finds them in 97 of 100 trials" in risk for risk in tested.residual_risk)
    assert not any("not tested" in risk for risk in tested.residual_risk)


def test_residual_risk_is_in_plain_words(content: ReleaseContent) -> None:
    risks = steward_summary(replace(content, widened=["max_membership_auc is 0.65, 0.55 by default"])).residual_risk
    assert any("names the right one in up to 59 of 100 cases; guessing names 50" in risk for risk in risks)
    assert "Not the default bound: max_membership_auc is 0.65, 0.55 by default." in risks


@pytest.mark.parametrize("verdict", ["refused", "inconclusive"])
def test_another_verdict_says_that_the_cohort_must_not_be_published(content: ReleaseContent, verdict: str) -> None:
    text = steward_document(replace(content, verdict=verdict))
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
