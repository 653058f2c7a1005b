"""Profiles: one definition, read by deployments and by the command line alike."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from flows.profiles import SettingsError, deployments_file, load_settings, profiles
from tasks.settings import Settings

DEPLOYMENTS = yaml.safe_load(deployments_file().read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: f"{one['entrypoint'].split(':')[1]}/{one['name']}")
def test_every_deployment_names_a_flow_and_valid_settings(deployment: dict) -> None:
    file, function = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), function)
    assert flow.name == function.replace("_", "-")
    settings = Settings.model_validate(deployment["parameters"]["settings"])
    assert settings.profile == deployment["name"]


def test_every_flow_is_deployed_for_every_profile() -> None:
    flows = {deployment["entrypoint"] for deployment in DEPLOYMENTS}
    found = {(deployment["entrypoint"], deployment["name"]) for deployment in DEPLOYMENTS}
    assert found == {(flow, profile) for flow in flows for profile in profiles()}
    assert len(flows) == 7


def test_overrides_and_data_reach_the_settings(tmp_path: Path) -> None:
    settings = load_settings("ptbxl-mini", ["cohort.size=7", "ingestion.test_folds=[8, 10]"], tmp_path)
    assert settings.cohort.size == 7
    assert settings.ingestion.test_folds == (8, 10)
    assert settings.source.path == str(tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cohort.sise=7", r"unknown setting cohort.sise; did you mean size\?"),
        ("cohorts.size=7", r"unknown setting cohorts; did you mean cohort\?"),
        ("cohort.size", "path.to.setting=value"),
        ("cohort=7", "cohort is a section"),
        ("cohort.size=many", r"cohort.size: .*integer.*\(got 'many'\)"),
        ("cohort.size=0", "cohort.size: .*greater than or equal to 1"),
        ("cohort.size.deep=1", "unknown setting cohort.size.deep"),
    ],
)
def test_wrong_settings_are_named(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings("demo", [override])


def test_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"unknown profile 'dmeo'.*demo, ptbxl-mini, ptbxl"):
        load_settings("dmeo")


def test_the_simulated_source_refuses_a_data_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="simulated source takes no path"):
        load_settings("demo", data=tmp_path)
