"""What WFDB headers say in their first line and comments; signals are decoded by `wfdb_record`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from warehouse.sources.record import BadRecord
from warehouse.sources.wfdb_header import LARGEST_BYTES, header_lines

_JOINS = re.compile(r"\S+/\d+\s")
_RATE = re.compile(r"\S+\s+\d+\s+(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class HeaderComments:
    """What a header says beside its signals."""

    rate_hz: float
    """Sampling rate in Hz, 0 where the header states none."""
    lines: tuple[str, ...]
    """Comments without their mark, in order."""
    segments: tuple[str, ...]
    """Names of the records beside it that it joins, whether they are there or not."""

    def fields(self) -> dict[str, str]:
        """Comments of the form "name: value", by name in lower case; of a name that comes twice the first counts."""
        found: dict[str, str] = {}
        for line in self.lines:
            name, colon, value = line.partition(":")
            if colon:
                found.setdefault(name.strip(" <>").lower(), value.strip())
        return found


def find_headers(folder: Path) -> list[str]:
    """Paths inside a folder of all WFDB headers, without extension, sorted; links that leave the folder are not
    followed."""
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        inside = PurePosixPath(Path(place).relative_to(folder).as_posix())
        found += [str(inside / name.removesuffix(".hea")) for name in names if name.endswith(".hea")]
    return sorted(found)


def read_comments(path: Path) -> HeaderComments:
    """Read a header's first line and comments.

    Raises:
        BadRecord: it cannot be read, or is no header.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise BadRecord("missing_file", f"{path.name} is not there") from None
    except OSError as error:
        raise BadRecord("unreadable_file", f"{path.name}: {error.strerror or error}") from None
    lines = header_lines(content, path.name)
    said = [line for line in lines if not line.startswith("#")]
    rate = _RATE.match(said[0]) if said else None
    joined = bool(said) and _JOINS.match(said[0])
    return HeaderComments(
        float(rate[1]) if rate else 0.0,
        tuple(line[1:].strip() for line in lines if line.startswith("#")),
        tuple(line.split()[0] for line in said[1:]) if joined else (),
    )
