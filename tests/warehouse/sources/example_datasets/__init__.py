"""A small dataset of every kind that can be read: the module named like the kind writes it and says what is in it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Example:
    """A dataset, and what is in it."""

    folder: Path
    rows: int
    """Records that its tables list."""
    tables: tuple[str, ...]
    """Files without which it cannot be read."""
    rate_hz: int
    """Sampling rate to read it at."""
    written: dict[str, np.ndarray]
    """Path of a usable record to its samples: (12, 10 s) mV, leads in the order of `STANDARD_LEADS`."""
    unusable: dict[str, str]
    """Path of any other record to the reason for which it must be refused."""
    said: dict[str, dict[str, Any]]
    """Path of a record to fields of its `SourceRecord`, and their values."""
    foreign: frozenset[str] = frozenset()
    """Codes of statements that the vocabulary lacks."""


def write_example(kind: str, folder: Path) -> Example:
    """Write the example of a kind of dataset into a new folder."""
    try:
        module = importlib.import_module(f"{__name__}.{kind}")
    except ModuleNotFoundError:
        pytest.fail(f"no example of {kind}: add {__name__.replace('.', '/')}/{kind}.py, whose write(folder) makes one")
    example: Example = module.write(folder)
    assert example.folder == folder
    return example
