"""Counts the files whose bytes go through a hash function."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


def count_hashed_files(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """Path of each file to the times that it is hashed, from now on."""
    hashed: Counter[Path] = Counter()
    file_digest = hashlib.file_digest

    def counting(file: Any, *arguments: Any, **options: Any) -> Any:
        hashed[Path(file.name)] += 1
        return file_digest(file, *arguments, **options)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    return hashed
