"""The settings reference in the docs is the one that the settings give, and tells the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flows.profiles import load_settings
from flows.settings_reference import PATH, render, sections
from tasks.settings import Settings

EVERY = [setting for section in sections() for setting in section.settings]


def test_the_reference_in_the_docs_is_the_one_that_the_settings_give() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run: python -m flows.settings_reference"


def test_every_setting_and_section_is_described() -> None:
    assert all(section.about for section in sections())
    assert not [setting.path for setting in EVERY if not setting.description.rstrip().endswith(".")]
    assert len({setting.path for setting in EVERY}) == len(EVERY)


def test_documented_paths_and_defaults_are_those_of_the_code() -> None:
    defaults = [f"{setting.path}={setting.default}" for setting in EVERY if setting.default is not None]
    assert load_settings("demo", defaults) == Settings.model_validate({"source": {"kind": "simulated"}})


def test_no_documented_operational_setting_is_in_an_id() -> None:
    shaping = {setting.path for setting in EVERY if not setting.operational}
    digested = set(leaves(Settings.model_validate({"source": {"kind": "simulated"}}).for_digest()))
    assert "cohort.size" in digested and "cohort.workers" not in shaping
    assert digested <= shaping


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of all values that are no section."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"
