"""The settings reference: every setting with type, default, meaning and whether it shapes results.

python -m flows.settings_reference            write docs/settings.md
python -m flows.settings_reference --print    print it
"""

from __future__ import annotations

import argparse
import json
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tasks.settings import Settings
from warehouse.storage.whole_files import write_text

PATH: Final = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
BOUNDS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
HEAD: Final = """# Settings

Written by `python -m flows.settings_reference` from the classes of `tasks.settings`; a test compares the two. A profile
in `prefect.yaml` sets some of them, `--set path.to.setting=value` changes one for a run, and what nobody sets has the
default.

**Shaping** settings change what a stage makes and are part of its id: a changed one makes new datasets. **Operational**
settings change how a stage runs only. There are {settings} settings, {operational} of them operational.
"""


@dataclass(frozen=True)
class Setting:
    """A setting, as a person needs to know it.

    Attributes:
        path: as `--set` takes it.
        type: in words, with the range of allowed values.
        default: as JSON; None where there is none in the code, and `required` or the environment decides.
        required: whether a profile has to set it.
        operational: whether it stays out of ids.
        description: meaning and unit.
    """

    path: str
    type: str
    default: str | None
    required: bool
    operational: bool
    description: str


@dataclass(frozen=True)
class SectionReference:
    """A section of settings: its path ("" for the profile itself), what it is about, its own settings."""

    path: str
    about: str
    settings: list[Setting]


def sections(model: type[BaseModel] = Settings, path: str = "") -> Iterator[SectionReference]:
    """A section and all sections inside it, in the order of the code."""
    nested = {name: kind for name, field in model.model_fields.items() if (kind := _section(field)) is not None}
    own = [_setting(name, field, path) for name, field in model.model_fields.items() if name not in nested]
    yield SectionReference(path, " ".join((model.__doc__ or "").split()), own)
    for name, kind in nested.items():
        yield from sections(kind, _join(path, name))


def render() -> str:
    """The reference as Markdown."""
    found = [one for one in sections() if one.settings]
    every = [setting for one in found for setting in one.settings]
    lines = [HEAD.format(settings=len(every), operational=sum(one.operational for one in every))]
    for section in found:
        lines += [f"## {section.path or 'Profile'}", "", section.about, ""]
        lines += ["| setting | type | default | kind | meaning |", "|---|---|---|---|---|"]
        lines += [_line(setting) for setting in section.settings]
        lines += [""]
    return "\n".join(lines)


def _line(setting: Setting) -> str:
    default = "required" if setting.required else "environment" if setting.default is None else f"`{setting.default}`"
    kind = "operational" if setting.operational else "shaping"
    cells = (f"`{setting.path}`", setting.type, default, kind, setting.description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _setting(name: str, field: FieldInfo, path: str) -> Setting:
    extra: dict[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    choices = extra.get("enum")
    bounds = [
        f"{sign} {getattr(rule, bound):g}"
        for rule in field.metadata
        for bound, sign in BOUNDS.items()
        if hasattr(rule, bound)
    ]
    known = field.default is not PydanticUndefined
    return Setting(
        path=_join(path, name),
        type=", ".join([_one_of(choices) if choices else _type(field.annotation), *bounds]),
        default=json.dumps(field.default, ensure_ascii=False) if known else None,
        required=field.is_required(),
        operational=bool(extra.get("operational")),
        description=field.description or "",
    )


def _type(kind: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments)
    if origin is Literal:
        return _one_of(arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    return "null" if kind is type(None) else str(kind.__name__)


def _one_of(values: Iterable[Any]) -> str:
    return " or ".join(f"`{json.dumps(value)}`" for value in values)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def main() -> None:
    """Write or print the reference."""
    parser = argparse.ArgumentParser(prog="python -m flows.settings_reference", description="Write docs/settings.md.")
    parser.add_argument("--print", action="store_true", help="print it instead")
    if parser.parse_args().print:
        print(render(), end="")
        return
    print(f"wrote {write_text(PATH, render())}")


if __name__ == "__main__":
    main()
