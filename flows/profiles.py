"""Profiles: the settings that `prefect.yaml` gives each deployment, read back for the command line.

A laptop run and a worker run are the same run because both take their settings from there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tasks.settings import Settings
from warehouse.errors import EinthovenError

DEPLOYMENTS_FILE = "prefect.yaml"
MAIN_ENTRYPOINT = "flows/release.py:release_cohort"


class SettingsError(EinthovenError):
    """A profile, setting or value does not exist or is not allowed."""


def deployments_file() -> Path:
    """The `prefect.yaml` in force: the current folder's, else the one beside this package.

    Raises:
        SettingsError: there is none.
    """
    for folder in (Path.cwd(), Path(__file__).resolve().parent.parent):
        path = folder / DEPLOYMENTS_FILE
        if path.is_file() and MAIN_ENTRYPOINT in path.read_text(encoding="utf-8"):
            return path
    raise SettingsError(f"no {DEPLOYMENTS_FILE} of Einthoven found; run from the repository's folder")


def profiles(path: Path | None = None) -> dict[str, dict[str, Any]]:
    """Profile name to its raw settings: the parameters of the deployments of the main flow."""
    path = path or deployments_file()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    return {
        deployment["name"]: deployment["parameters"]["settings"]
        for deployment in document["deployments"]
        if deployment["entrypoint"] == MAIN_ENTRYPOINT
    }


def load_settings(profile: str, overrides: Sequence[str] = (), data: Path | None = None) -> Settings:
    """The settings of a profile with overrides applied; of another kind of source than the profile's, without its title
    and citation of releases.

    Args:
        profile: name in `prefect.yaml`.
        overrides: `path.to.setting=value`, values in YAML.
        data: dataset folder; replaces `source.path`.

    Raises:
        SettingsError: unknown profile or setting, or a value that is not allowed; the message names it.
    """
    known = profiles()
    if profile not in known:
        raise SettingsError(f"unknown profile {profile!r}; {DEPLOYMENTS_FILE} defines {', '.join(known)}")
    raw = known[profile]
    source, release = dict(raw.get("source", {})), dict(raw.get("release", {}))
    for override in overrides:
        _apply(raw, override)
    if raw.get("source", {}).get("kind") != source.get("kind"):
        # What a profile says of its own source would be wrong of another one.
        for name in ("title", "citation"):
            if name in release and raw["release"][name] == release[name]:
                del raw["release"][name]
    if data is not None:
        raw.setdefault("source", {})["path"] = str(data.resolve())
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(problem) for problem in error.errors())) from None


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set one `path.to.setting=value` in raw settings."""
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise SettingsError(f"--set {override!r}: write it as path.to.setting=value")
    keys = path.strip().split(".")
    model: Any = Settings
    for depth, key in enumerate(keys):
        fields = getattr(model, "model_fields", None)
        if fields is None or key not in fields:
            raise SettingsError(f"unknown setting {'.'.join(keys[: depth + 1])}{_nearest(key, fields or ())}")
        model = fields[key].annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        raise SettingsError(
            f"{path} is a section; set one of {', '.join(f'{path}.{name}' for name in model.model_fields)}"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SettingsError(f"--set {override!r}: the value is not valid YAML") from None
    target = raw
    for key in keys[:-1]:
        target = target.setdefault(key, {})
    target[keys[-1]] = value


def _nearest(key: str, names: Iterable[str]) -> str:
    names = list(names)
    if close := difflib.get_close_matches(key, names, n=1):
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(names)}" if names else ""


def _explain(problem: Any) -> str:
    """One validation problem in words: the setting, what it was, what is wrong."""
    where = ".".join(str(part) for part in problem["loc"]) or "settings"
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {where}"
    message = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
    return f"{where}: {message}{shown}"
