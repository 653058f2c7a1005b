"""Profiles: one definition, read by deployments and by the command line alike."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from flows.console import LIBRARY_ENVIRONMENT
from flows.profiles import MAIN_ENTRYPOINT, SettingsError, deployments_file, load_settings, profiles
from flows.release import of_month
from tasks.settings import Settings

DEPLOYMENTS = yaml.safe_load(deployments_file().read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: f"{one['entrypoint'].split(':')[1]}/{one['name']}")
def test_every_deployment_names_a_flow_and_valid_settings(deployment: dict) -> None:
    file, function = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), function)
    assert flow.name == function.replace("_", "-")
    assert Settings.model_validate(deployment["parameters"]["settings"])
    assert deployment["work_pool"]["job_variables"]["env"].items() >= LIBRARY_ENVIRONMENT.items()


def test_every_flow_is_deployed_for_every_profile() -> None:
    flows = {deployment["entrypoint"] for deployment in DEPLOYMENTS}
    found = {(deployment["entrypoint"], deployment["name"]) for deployment in DEPLOYMENTS}
    names = profiles()
    assert found == {(flow, profile) for flow in flows for profile in names}
    assert len(flows) == 8


def test_a_profile_is_written_once_and_a_new_one_takes_an_entry_and_a_line_per_flow(tmp_path: Path) -> None:
    path, text = tmp_path / "prefect.yaml", deployments_file().read_text()
    shared: dict[str, set[int]] = {}
    for deployment in DEPLOYMENTS:
        shared.setdefault(deployment["name"], set()).add(id(deployment["parameters"]))
    assert all(len(one) == 1 for one in shared.values()), "a profile's deployments must share one text"
    tiny = "tiny: &tiny {name: tiny, work_pool: *worker, parameters: {settings: {source: {kind: simulated}}}}"
    line = f"  - {{<<: *tiny, entrypoint: {MAIN_ENTRYPOINT}}}\n"
    path.write_text(text.replace("\ndeployments:\n", f"\n  {tiny}\n\ndeployments:\n{line}"))
    assert profiles(path).keys() == {*profiles(), "tiny"}


def test_overrides_and_data_reach_the_settings(tmp_path: Path) -> None:
    settings = load_settings("ptbxl-mini", ["cohort.size=7", "ingestion.test_folds=[8, 10]"], tmp_path)
    assert settings.cohort.size == 7
    assert settings.ingestion.test_folds == (8, 10)
    assert settings.source.path == str(tmp_path)


def test_a_release_of_another_source_does_not_cite_the_profiles() -> None:
    own, other = load_settings("ptbxl"), load_settings("ptbxl", ["source.kind=mimic_iv_ecg"])
    assert "PTB-XL" in own.release.citation and "PTB-XL" in own.release.title
    assert "PTB-XL" not in other.release.citation + other.release.title
    assert load_settings("ptbxl", ["source.kind=cinc", "release.citation=Reyna"]).release.citation == "Reyna"


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


def test_a_month_has_a_seed_of_its_own_and_nothing_else_changes() -> None:
    settings = load_settings("demo")
    january, february = (of_month(settings, month) for month in ("2031-01", "2031-02"))
    assert len({settings.cohort.seed, january.cohort.seed, february.cohort.seed}) == 3
    assert of_month(settings, "2031-01") == january
    own = {"seed": settings.cohort.seed}
    assert january.model_copy(update={"cohort": january.cohort.model_copy(update=own)}) == settings


@pytest.mark.parametrize("month", ["2031-13", "january", "2031-1", ""])
def test_a_wrong_month_is_refused(month: str) -> None:
    with pytest.raises(SettingsError, match="YYYY-MM"):
        of_month(load_settings("demo"), month)


def test_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"unknown profile 'dmeo'.*demo, ptbxl-mini, ptbxl"):
        load_settings("dmeo")


def test_the_simulated_source_refuses_a_data_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="simulated source takes no path"):
        load_settings("demo", data=tmp_path)
