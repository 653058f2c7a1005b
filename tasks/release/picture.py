"""A picture of the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows in words, for those who do not see it."""

    data: str
    alt: str
    caption: str
