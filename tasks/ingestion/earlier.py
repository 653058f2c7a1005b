"""What an earlier ingestion of a source read, so that of a dataset that grew only what is new is read.

The notes of a committed dataset's parts are kept in `_cache/ingested/` of the warehouse. They may be deleted: every
record is read then. A record's rows are taken over if neither its files nor what the source says of it changed, and if
they still hold the waveforms that were written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.storage.store import Staging, Store
from warehouse.storage.waveforms import microvolts
from warehouse.storage.whole_files import write_text

TABLE = "recordings"
KEY_DIGITS = 32


class Place(NamedTuple):
    """Where an earlier ingestion has a record: its part, and the record's number in it."""

    part: int
    number: int


@dataclass(frozen=True)
class Taken:
    """What an earlier ingestion found of a record: rows of its kept windows, why it refused others, and how many there
    were."""

    rows: pa.Table
    refused: list[dict[str, str]]
    windows: int


@dataclass(frozen=True)
class Earlier:
    """An ingestion whose rows can be taken over: the folders of its notes and of its dataset."""

    notes: Path
    dataset: Path

    @classmethod
    def of(cls, store: Store, source: str) -> Earlier | None:
        """The last ingestion of a source that left notes; None where there is none."""
        for manifest in reversed(store.committed("recordings")):
            notes = _notes(store, manifest.id)
            if manifest.facts.get("source") == source and notes.exists():
                return cls(notes, store.folder("recordings", manifest.id))
        return None

    def places(self, keys: list[str]) -> list[Place | None]:
        """Where it has each of some records, by their keys."""
        kept, places = [np.empty(0, np.uint64)], [np.empty((0, 2), np.int64)]
        for path in sorted(self.notes.glob("*.json")):
            found = json.loads(path.read_bytes())["keys"]
            numbers = np.array([number for number, key in enumerate(found) if key], np.int64)
            kept.append(_numbers([found[number] for number in numbers]))
            places.append(np.stack([np.full(len(numbers), int(path.stem)), numbers], axis=1))
        known, place = np.concatenate(kept), np.concatenate(places)
        if not len(known):
            return [None] * len(keys)
        order = np.argsort(known, kind="stable")
        wanted = _numbers([key or "0" for key in keys])
        at = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
        return [
            Place(*place[one].tolist()) if key and known[one] == number else None
            for one, key, number in zip(at, keys, wanted, strict=True)
        ]

    def take(self, keys: list[str], places: list[Place | None]) -> dict[int, Taken]:
        """What it found of records, by their number among these; those that cannot be taken over are left out."""
        found: dict[int, Taken] = {}
        for part in sorted({place.part for place in places if place}):
            chosen = [number for number, place in enumerate(places) if place and place.part == part]
            try:
                note = json.loads(_note(self.notes, part).read_bytes())
                table = pq.read_table(self.dataset / TABLE / f"part-{part:05d}.parquet", partitioning=None)
            except (OSError, ValueError, pa.ArrowException):
                continue
            if digests(table) != note["waveforms"]:
                continue
            of = np.array(note["of"], np.int64)
            for number in chosen:
                place = places[number]
                if place and note["keys"][place.number] == keys[number]:
                    refused = [
                        one
                        for one, owner in zip(note["refused"], note["refused_of"], strict=True)
                        if owner == place.number
                    ]
                    rows = table.take(np.flatnonzero(of == place.number))
                    found[number] = Taken(rows, refused, note["windows"][place.number])
        return found


def keep_notes(staging: Staging, parts: list[int]) -> None:
    """Keep the notes of parts for later ingestions."""
    for part in parts:
        write_text(_note(_notes(staging.store, staging.id), part), json.dumps(staging.note(TABLE, part)))


def record_key(*facts: Any) -> str:
    """A digest of all that shapes what is read of a record."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:KEY_DIGITS]


def digests(table: pa.Table) -> list[str]:
    """64 bits of the SHA-256 of each row's waveform, as it is at rest."""
    return [hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in microvolts(table)]


def _notes(store: Store, identifier: str) -> Path:
    return store.root / "_cache" / "ingested" / identifier


def _note(folder: Path, part: int) -> Path:
    return folder / f"{part:05d}.json"


def _numbers(keys: list[str]) -> np.ndarray:
    """The first 64 bits of keys; `take` compares all of them."""
    return np.array([int(key[:16], 16) for key in keys], np.uint64)
