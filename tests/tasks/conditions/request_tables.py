"""The tables of requests with right answers, and PTB-XL's statements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tasks.conditions.request import AmbiguousRequestError, ConditionError, ContradictionError, NotUnderstoodError
from tasks.knowledge.vocabulary import vocabulary

REFUSALS: dict[str, type[ConditionError]] = {
    "any": ConditionError,
    "words": NotUnderstoodError,
    "contradiction": ContradictionError,
    "ambiguous": AmbiguousRequestError,
}
ANSWER = {
    "text",
    "options",
    "asked",
    "probable",
    "excluded",
    "history",
    "rate",
    "age",
    "sex",
    "axis",
    "stage",
    "may_refuse",
}
FACTS: dict[str, dict[str, Any]] = {
    code: {"description": names[0], "superclass": None, "kind": "diagnostic"}
    for code, names in vocabulary().names.items()
}
"""All statements of PTB-XL, each called by its first name."""


def _table(name: str) -> dict[str, Any]:
    return yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8"))


_SETS: dict[str, list[str]] = _table("requests.yaml")["sets"]
REQUESTS: list[dict[str, Any]] = [
    entry
    for name in ("requests.yaml", "further_requests.yaml", "blind_requests.yaml")
    for entry in _table(name)["requests"]
]


def statements(entry: dict[str, Any], field: str) -> set[str]:
    """The statements that an answer names, those of its sets included."""
    return {code for name in entry.get(field, []) for code in _SETS.get(name, [name])}
