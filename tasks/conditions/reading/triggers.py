"""Words that decide how a statement is meant (`triggers.yaml`)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final


@lru_cache(maxsize=1)
def triggers() -> dict[str, list[str]]:
    """Kind of trigger to its wordings."""
    import yaml

    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))


HALF_CERTAIN: Final = frozenset(
    {"probable", "probably", "likely", "presumed", "presumably", "presumptive", "consistent", "compatible", "keeping"}
)
"""Words of doubt that say "probable"; the others say "possible"."""
STAGES: Final = {
    "acute": "Stadium I",
    "I-II": "Stadium I-II",
    "recent": "Stadium II",
    "old": "Stadium III",
    "age unknown": "unknown",
}
"""Stages of an infarction as PTB-XL codes them."""
PAST: Final = frozenset({"prior", "previous", "past", "remote"})
"""An old infarction, but no present arrhythmia."""
