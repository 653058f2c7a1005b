"""What clinicians call a statement: its description, its usual synonyms and abbreviations (`vocabulary.yaml`)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import yaml


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, list[str]]:
    path = Path(__file__).with_suffix(".yaml")
    return {str(code): [str(name) for name in names] for code, names in yaml.safe_load(path.read_text("utf-8")).items()}


def names_of(code: str, description: str) -> list[str]:
    """Every name of a statement, its description first; a statement the vocabulary does not know has only that."""
    return list(dict.fromkeys([description, *_synonyms().get(code, [])]))
