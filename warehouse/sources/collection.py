"""Several datasets as one: a folder that holds a folder, or a link to one, for each.

`both/ptbxl` and `both/cinc` are one dataset of two kinds; `wards/north.wfdb` and `wards/south.wfdb` are two of one
kind, named north and south. Each record keeps the name of its dataset, and patients are told apart by it. That somebody
is a patient of two datasets cannot be known; that a dataset holds copies of another's recordings is known for some
(`CONTAINED`), which are refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from warehouse.errors import SourceError
from warehouse.sources.record import RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.source import Source

CONTAINED = {("cinc", "ptb-xl"): "ptbxl", ("cinc", "ptb"): "ptbdb"}
"""Kind and centre of recordings to the kind of the dataset that they were taken from."""


class CollectionSource(Source):
    """A folder of datasets, each named by its kind, or NAME.KIND."""

    name = "collection"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from warehouse.sources.registry import SOURCES, open_source

        self._parts: dict[str, tuple[str, Source]] = {}
        for part in sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")):
            name, dot, kind = part.name.rpartition(".")
            kind, name = kind, name if dot else kind
            if kind not in SOURCES or kind in (self.name, "simulated"):
                raise SourceError(f"{part} is named after no kind of dataset; name it KIND or NAME.KIND, e.g. ptbxl")
            if name in self._parts:
                raise SourceError(f"{folder} has no two datasets of one name, but {name} twice; rename {part.name}")
            self._parts[name] = (part.name, open_source(kind, part, name))
        if not self._parts:
            raise SourceError(f"{folder} has no folders of datasets, such as ptbxl, cinc or NAME.wfdb")

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """The rows of each dataset, in the order of their names."""
        return self._rows

    def files(self) -> list[str]:
        """The files of each dataset."""
        return [f"{place}/{name}" for place, part in self._parts.values() for name in part.files()]

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Let the record's dataset decode it."""
        place, part = self._parts[record.dataset]
        files = tuple((rate, stem.removeprefix(f"{place}/")) for rate, stem in record.files)
        own = replace(record, record=record.record.removeprefix(f"{place}/"), files=files)
        return part.decode(own, rate_hz)

    def parts(self) -> list[Source]:
        """The datasets."""
        return [part for _, part in self._parts.values()]

    def words(self) -> dict[str, str]:
        """What any dataset calls its codes."""
        return {code: words for part in self.parts() for code, words in part.words().items()}

    def unread(self) -> Counter[str]:
        """Phrases of all datasets that are not read."""
        return sum((Counter(part.unread()) for part in self.parts()), Counter())

    @cached_property
    def _rows(self) -> list[SourceRecord | RefusedRecord]:
        kinds = {type(part).name for part in self.parts()}
        found: list[SourceRecord | RefusedRecord] = []
        for name, (place, part) in self._parts.items():
            for row in part.rows():
                if isinstance(row, RefusedRecord):
                    found.append(replace(row, record=f"{place}/{row.record}", dataset=name))
                    continue
                files = tuple((rate, f"{place}/{stem}") for rate, stem in row.files)
                moved = replace(
                    row, record=f"{place}/{row.record}", patient=f"{name}/{row.patient}", files=files, dataset=name
                )
                found.append(_once(moved, type(part).name, kinds))
        return found


def _once(record: SourceRecord, kind: str, kinds: set[str]) -> SourceRecord | RefusedRecord:
    """The record, or its refusal if another dataset of the collection holds the original."""
    centre = dict(record.coded_views).get("centre", ("",))[0]
    original = CONTAINED.get((kind, centre))
    if original not in kinds:
        return record
    path = record.files[0][1] if record.files else record.record
    detail = f"a copy of a recording of {original}, which the collection holds, too"
    return RefusedRecord(path, "duplicate_record", detail, record.dataset)
