"""A cohort is not published with any bound broken, or with any attack that could not find planted leaks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from models.evaluation.metrics import Estimate
from tasks.privacy.audit_row import AuditRow, audit_row, exactly
from tasks.release.task import publish_release
from tasks.settings import PrivacySettings, ReleaseSettings
from tests.stage_outputs import StageOutputs
from tests.tiny_pipeline import TinyPipeline, with_audit
from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseInputs
from warehouse.release.releases import versions
from warehouse.storage.store import Store

PRIVACY = PrivacySettings()
NO_BOUNDS = {"seed", "bootstrap_samples", "encoder", "trials", "min_power"}
BOUNDS = sorted(set(PrivacySettings.model_fields) - NO_BOUNDS)
CANARY = "own beats in another rhythm"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, ReleaseInputs]:
    """A warehouse with a release, and what it was made from."""
    store = Store(str(tmp_path_factory.mktemp("warehouse")))
    inputs = TinyPipeline(store).commit()
    publish(store, inputs)
    return store, inputs


def publish(store: Store, inputs: ReleaseInputs) -> None:
    settings = ReleaseSettings(name="tiny")
    publish_release.fn(settings, inputs.cohort, inputs.evaluation, inputs.audit, inputs.model, str(store.root))


def refusal(published: tuple[Store, ReleaseInputs], rows: list[AuditRow], name: str) -> str:
    """Why an audit of these rows is refused, after checking that nothing was published."""
    store, inputs = published
    current = store.root / "releases" / "tiny" / "current"
    assert current.readlink() == Path("v1")
    with pytest.raises(ReleaseError) as refused:
        publish(store, with_audit(store, inputs, rows, name))
    assert versions(store, "tiny") == [1] and current.readlink() == Path("v1")
    assert not list(store.root.glob("_staging/release-*/*"))
    message = str(refused.value)
    assert message.startswith("release refused, nothing was published: ") and "\n" not in message
    return message


def bound(setting: str, *, broken: bool = False, power: float | None = 1.0) -> AuditRow:
    """A row of an attack that a setting bounds."""
    attack, metric, limit = f"attack on {setting}", "success", getattr(PRIVACY, setting)
    if setting.startswith("min_"):
        return audit_row(attack, metric, exactly(limit - broken), 24, PRIVACY, at_least=setting)
    assert setting.startswith("max_"), f"say here how {setting} is broken"
    found = Estimate(limit / 2, limit / 4, limit + 0.001 if broken else limit)
    row = audit_row(attack, metric, found, 24, PRIVACY, at_most=setting, canary=CANARY)
    return {**row, "power": power}


def row_without_setting(*, broken: bool = False, power: float | None = 1.0) -> AuditRow:
    """A row whose bound is measured on held-out people."""
    found = exactly(0.3 if broken else 0.1)
    return {**audit_row("linkage", "share", found, 24, PRIVACY, at_most=0.2, canary=CANARY), "power": power}


def all_kept() -> dict[str, AuditRow]:
    return {"": row_without_setting(), **{name: bound(name) for name in BOUNDS}}


def test_every_bound_kept_and_every_attack_with_power_is_published(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "warehouse"))
    inputs = TinyPipeline(store).commit()
    publish(store, with_audit(store, inputs, list(all_kept().values()), "kept"))
    assert versions(store, "tiny") == [1]


@pytest.mark.parametrize("setting", ["", *BOUNDS])
def test_a_broken_bound_is_refused_and_named(setting: str, published: tuple[Store, ReleaseInputs]) -> None:
    row = bound(setting, broken=True) if setting else row_without_setting(broken=True)
    message = refusal(published, list({**all_kept(), setting: row}.values()), f"{setting} broken")
    assert "is refused by its privacy audit" in message and "inconclusive" not in message
    assert f"{row['attack']}, {row['metric']}: " in message
    assert re.findall(r"privacy\.(\w+)", message) == ([setting] if setting else [])
    assert message.count("against the bound") == 1, "what was kept is not named"


@pytest.mark.parametrize("power", [0.94, None], ids=["weak", "not measured"])
@pytest.mark.parametrize("setting", ["", *(name for name in BOUNDS if bound(name)["canary"])])
def test_an_attack_without_power_is_inconclusive_and_named(
    setting: str, power: float | None, published: tuple[Store, ReleaseInputs]
) -> None:
    row = bound(setting, power=power) if setting else row_without_setting(power=power)
    message = refusal(published, list({**all_kept(), setting: row}.values()), f"{setting} at {power}")
    assert "has an inconclusive privacy audit" in message
    assert f"{row['attack']}: {row['metric']}, power {power or 0:.2f} against {CANARY}" in message
    assert message.count("power") == 1, "attacks with power are not named"


def test_a_bound_that_was_not_judged_is_not_kept(published: tuple[Store, ReleaseInputs]) -> None:
    rows = {**all_kept(), "max_beat_share": {**bound("max_beat_share"), "passed": None}}
    assert "attack on max_beat_share, success" in refusal(published, list(rows.values()), "not judged")


def test_an_audit_without_bounds_is_refused(published: tuple[Store, ReleaseInputs]) -> None:
    reported = audit_row("attack", "success", exactly(0.1), 24, PRIVACY)
    assert "no check was made" in refusal(published, [reported], "nothing bounded")


def test_each_row_of_a_real_audit_can_refuse_a_release(
    stage_outputs: StageOutputs, published: tuple[Store, ReleaseInputs]
) -> None:
    """Whatever attacks there are: every bound of theirs broken, every one of them without power."""
    of_audit, made, *_ = stage_outputs.audited
    rows: list[dict[str, Any]] = of_audit.read(made, "audits").to_pylist()
    attacks = {row["attack"] for row in rows if row["canary"]}
    assert len(attacks) >= 6
    for number, row in enumerate(rows):
        if row["threshold"] is None:
            continue
        broken = [{**one, "passed": False} if one is row else one for one in rows]
        message = refusal(published, broken, f"real, {number} broken")
        assert "is refused" in message and f"{row['attack']}, {row['metric']}: " in message
        if row["canary"]:
            weak = [{**one, "power": 0.94} if one is row else one for one in rows]
            message = refusal(published, weak, f"real, {number} weak")
            assert "inconclusive" in message and f"{row['attack']}: {row['metric']}, power 0.94" in message
