"""What became of everything that an ingestion read: the sum of its parts' notes, checked to leave nothing out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.ingestion.recording_parts import TABLE
from warehouse.errors import WarehouseError
from warehouse.sources.record import RefusedRecord
from warehouse.storage.store import Staging


@dataclass
class Outcome:
    """Records that a source lists, and the windows that were read of them."""

    records: Counter[str] = field(default_factory=Counter)
    """Records that were decoded, or could not be, per dataset."""
    read: Counter[str] = field(default_factory=Counter)
    """Windows of these, per dataset; a record that gave none counts as one."""
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Windows kept, per dataset and split."""
    refused: list[RefusedRecord] = field(default_factory=list)
    """The other windows, in the source's order."""
    thinned: list[int] = field(default_factory=list)
    """Parts that lost copies of waveforms."""

    @property
    def splits(self) -> Counter[str]:
        """Windows kept per split."""
        return _summed((split, count) for (_, split), count in self.kept.items())

    def check(self, given: Counter[str]) -> None:
        """Raise WarehouseError unless every record given was read, and every window read was kept or refused.

        Args:
            given: records that were given to be read, per dataset.
        """
        kept = _summed((dataset, count) for (dataset, _), count in self.kept.items())
        refused = Counter(one.dataset for one in self.refused)
        for dataset in sorted({*given, *self.records, *self.read, *kept, *refused}):
            if self.records[dataset] != given[dataset] or self.read[dataset] != kept[dataset] + refused[dataset]:
                raise WarehouseError(
                    f"{given[dataset]} records of {dataset} were to be read, {self.records[dataset]} were; of "
                    f"{self.read[dataset]} windows {kept[dataset]} were kept and {refused[dataset]} refused. Delete "
                    "the staging folder of these recordings and run again"
                )


def collect(staging: Staging, parts: int) -> Outcome:
    """Sum up the notes of all parts, and take recordings out whose waveform another one has.

    A waveform twice under one patient is kept once. Under several patients it is not kept at all: nobody can tell whose
    it is, and it may lie in training and test data. What a killed run took out of a part is counted alike.
    """
    outcome = Outcome()
    waveforms, patients, ends = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], [0]
    for part in range(parts):
        note = staging.note(TABLE, part)
        outcome.records.update(note["records"])
        outcome.read.update(note["read"])
        outcome.refused += [RefusedRecord(**one) for one in note["refused"]]
        outcome.kept.update((dataset, split) for _, dataset, split in note["kept"])
        waveforms.append(np.array([int(one, 16) for one in note["waveforms"]], np.uint64))
        patients.append(np.array([int(one, 16) for one in note["patients"]], np.uint64))
        ends.append(ends[-1] + len(note["kept"]))
    copies = _copies(np.concatenate(waveforms), np.concatenate(patients))
    starts = np.array(ends)
    places = {row: int(np.searchsorted(starts, row, side="right")) - 1 for pair in copies.items() for row in pair}
    notes = {part: staging.note(TABLE, part)["kept"] for part in sorted(set(places.values()))}
    named = {row: notes[part][row - starts[part]] for row, part in places.items()}
    for row, other in sorted(copies.items()):
        path, dataset, split = named[row]
        outcome.kept[dataset, split] -= 1
        detail = f"its waveform is that of {named[other][0]}"
        outcome.refused.append(RefusedRecord(path, "duplicate_waveform", detail, dataset))
    outcome.thinned = sorted({places[row] for row in copies})
    for part in outcome.thinned:
        staying = np.array([row not in copies for row in range(starts[part], starts[part + 1])])
        table = pq.read_table(staging.part(TABLE, part), partitioning=None)
        if table.num_rows == len(staying):
            staging.write_table(TABLE, part, table.filter(pa.array(staying)))
    return outcome


def _summed(counts: Iterable[tuple[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for name, count in counts:
        total[name] += count
    return total


def _copies(waveforms: np.ndarray, patients: np.ndarray) -> dict[int, int]:
    """Row that is taken out to another row of the same waveform."""
    _, which, counts = np.unique(waveforms, return_inverse=True, return_counts=True)
    groups: dict[int, list[int]] = {}
    for row in np.flatnonzero(counts[which] > 1):
        groups.setdefault(int(which[row]), []).append(int(row))
    copies: dict[int, int] = {}
    for rows in groups.values():
        copies |= dict.fromkeys(rows[1:], rows[0])
        if len({int(patients[row]) for row in rows}) > 1:
            copies[rows[0]] = rows[1]
    return copies
