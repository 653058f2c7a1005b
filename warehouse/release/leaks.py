"""Looks for what must not be in a release: people's and records' ids, real reports, places on a machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.errors import WarehouseError
from warehouse.schema import cohorts
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

IDENTIFYING_NAME = re.compile(
    r"patient|subject|record(ing)?_?(id|key|path)|study|hadm|stay_id|mrn|birth|device|site|hospital|"
    r"operator|nurse|file_?name|file_?path|date|time_?stamp|admission",
    re.IGNORECASE,
)
"""Column names that a release must not have."""

PLACE = re.compile(
    r"""(?<![\w:/.<>*)\]+-])/(?:[\w.+-]+/)+[\w.+-]*"""  # /home/someone/…; not a URL, mm/s or an HTML end tag
    r"""|file://\S+"""
    r"""|(?<!\w)~/[\w.+-]+"""
    r"""|(?<![A-Za-z])[A-Za-z]:\\+[\w.+-]+\\"""  # C:\Users\…
)
EMBEDDED_PICTURE = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+")
VERBATIM_WORDS = 7
"""A real report of at least this many words is not repeated, unless several patients share it."""
SHARED_BY_PATIENTS = 5


@dataclass(frozen=True)
class Leak:
    """Something that must not be published."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Forbidden:
    """What the warehouse knows and a release must not say."""

    tokens: dict[str, str] = field(default_factory=dict)
    """Id to what it is."""
    places: tuple[str, ...] = ()
    """Folders of this machine."""
    reports: frozenset[str] = frozenset()
    """Normalised report texts that few patients share."""


def forbidden_of(store: Store, recordings: Reference) -> Forbidden:
    """What must not leave the warehouse, given the real recordings a cohort descends from."""
    table = store.read(recordings, "recordings", ["recording_id", "patient_key", "text"])
    tokens = dict.fromkeys(table["recording_id"].to_pylist(), "a recording_id")
    tokens |= dict.fromkeys(table["patient_key"].to_pylist(), "a patient_key")
    try:
        refused = store.read(recordings, "quarantine", ["record"])["record"].to_pylist()
    except WarehouseError:  # nothing was quarantined, so there is no such table
        refused = []
    for record in refused:
        for name in (record, PurePosixPath(record).name):
            if any(character.isdigit() for character in name) and len(name) > 3:
                tokens[name] = "the path of a source record"
    manifest = store.manifest(recordings)
    statements = store.facts(recordings, RecordingsFacts).statements.values()
    descriptions = [_normalised(about["description"]) for about in statements if about["description"]]
    sources = [one.uri for one in manifest.lineage.inputs if one.kind == "source"]
    return Forbidden(
        tokens=tokens,
        places=tuple({str(store.root), *(uri.removeprefix("file://") for uri in sources)} - {"", "/", "."}),
        reports=frozenset(_rare_reports(table, descriptions)),
    )


def _rare_reports(table: pa.Table, descriptions: list[str]) -> Iterator[str]:
    """Long reports that few patients share, but for those that only list statements, which say no more than codes."""
    longest_first = sorted(descriptions, key=len, reverse=True)
    patients: dict[str, set[str]] = {}
    for text, patient in zip(table["text"].to_pylist(), table["patient_key"].to_pylist(), strict=True):
        patients.setdefault(_normalised(text), set()).add(patient)
    for text, of in patients.items():
        if len(of) < SHARED_BY_PATIENTS and len(text.split()) >= VERBATIM_WORDS:
            rest = text
            for description in longest_first:
                rest = rest.replace(description, " ")
            if re.search(r"\w", rest):
                yield text


def find_leaks(folder: Path, forbidden: Forbidden | None = None) -> list[Leak]:
    """Everything in a release folder that identifies a person, a record or a place.

    Args:
        forbidden: what the warehouse knows; without it, only what can be told from the folder alone is found.
    """
    forbidden = forbidden or Forbidden()
    leaks: list[Leak] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".parquet":
            leaks += _parquet_leaks(path, name, forbidden)
        else:
            leaks += text_leaks(path.read_text(encoding="utf-8", errors="replace"), name, forbidden)
    return leaks


def text_leaks(text: str, where: str, forbidden: Forbidden) -> Iterator[Leak]:
    """Places and ids in a text that is to be published."""
    text = EMBEDDED_PICTURE.sub("", text)
    for place in sorted({found.group() for found in PLACE.finditer(text)}):
        yield Leak(where, f"the path {place!r}")
    for place in forbidden.places:
        if re.search(rf"(?<![\w.]){re.escape(place)}(?!\w)", text):
            yield Leak(where, f"the folder {place!r} of this machine")
    if forbidden.tokens:
        for token in sorted(_tokens(text) & forbidden.tokens.keys()):
            yield Leak(where, f"{forbidden.tokens[token]} (it starts with {token[:4]!r})")


def _tokens(text: str) -> set[str]:
    """Words of a text at every granularity an id may be written in."""
    whole = set(re.findall(r"[\w./-]+", text))
    stripped = {token.strip("./-") for token in whole}
    return whole | stripped | set(re.findall(r"\w+", text)) | set(re.findall(r"[A-Za-z0-9]+", text))


def _parquet_leaks(path: Path, where: str, forbidden: Forbidden) -> Iterator[Leak]:
    schema = pq.read_schema(path)
    for name in identifying_columns(schema.names):
        yield Leak(where, f"the column {name!r}")
    for key, value in (schema.metadata or {}).items():
        yield from text_leaks(
            f"{key.decode(errors='replace')} {value.decode(errors='replace')}", f"{where}, metadata", forbidden
        )
    texts = [one.name for one in schema if _holds_text(one.type)]
    table = pq.read_table(path, columns=texts)
    for name in texts:
        values = _unique_texts(table[name])
        yield from text_leaks("\n".join(values), f"{where}, column {name!r}", forbidden)
        if any(_normalised(value) in forbidden.reports for value in values):
            yield Leak(where, f"column {name!r} repeats the report of a patient word for word")


def identifying_columns(names: Iterable[str]) -> list[str]:
    """Column names that a cohort does not have, or that sound like a person, place, file or date."""
    known = set(cohorts().names)
    return [name for name in names if name not in known or IDENTIFYING_NAME.search(name)]


def _holds_text(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _holds_text(type_.value_type)
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _unique_texts(values: pa.ChunkedArray) -> list[str]:
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values = pc.list_flatten(values)
    return [value for value in pc.unique(values).to_pylist() if value]


def _normalised(text: str) -> str:
    return " ".join(text.lower().split())
