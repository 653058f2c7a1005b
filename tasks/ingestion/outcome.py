"""What became of everything that an ingestion read: the sum of its parts' notes, checked to leave nothing out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tasks.ingestion.recording_parts import TABLE
from warehouse.errors import WarehouseError
from warehouse.sources.record import RefusedRecord
from warehouse.storage.store import Staging


@dataclass
class Outcome:
    """Records that a source lists, and the windows that were read of them."""

    records: int = 0
    """Records that were decoded, or could not be."""
    read: int = 0
    """Windows of these; a record that gave none counts as one."""
    splits: Counter[str] = field(default_factory=Counter)
    """Kept windows per split."""
    refused: list[RefusedRecord] = field(default_factory=list)
    """The other windows, in the source's order."""

    def check(self, listed: int) -> None:
        """Raise WarehouseError unless every listed record was read, and every window read was kept or refused.

        Args:
            listed: records that were given to be read.
        """
        if self.records != listed or self.read != self.splits.total() + len(self.refused):
            raise WarehouseError(
                f"{listed} records were to be read, {self.records} were; of {self.read} windows {self.splits.total()} "
                f"were kept and {len(self.refused)} refused. Delete the staging folder of this dataset and run again"
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
        outcome.records += note["records"]
        outcome.read += note["read"]
        outcome.refused += [RefusedRecord(**one) for one in note["refused"]]
        outcome.splits.update(split for _, split in note["kept"])
        waveforms.append(np.array([int(one, 16) for one in note["waveforms"]], np.uint64))
        patients.append(np.array([int(one, 16) for one in note["patients"]], np.uint64))
        ends.append(ends[-1] + len(note["kept"]))
    copies = _copies(np.concatenate(waveforms), np.concatenate(patients))
    starts = np.array(ends)
    places = {row: int(np.searchsorted(starts, row, side="right")) - 1 for pair in copies.items() for row in pair}
    notes = {part: staging.note(TABLE, part)["kept"] for part in sorted(set(places.values()))}
    named = {row: notes[part][row - starts[part]] for row, part in places.items()}
    for row, other in sorted(copies.items()):
        outcome.splits[named[row][1]] -= 1
        detail = f"its waveform is that of {named[other][0]}"
        outcome.refused.append(RefusedRecord(named[row][0], "duplicate_waveform", detail))
    for part in sorted({places[row] for row in copies}):
        staying = np.array([row not in copies for row in range(starts[part], starts[part + 1])])
        table = staging.read_part(TABLE, part)
        if table.num_rows == len(staying):
            staging.write_table(TABLE, part, table.filter(pa.array(staying)))
    return outcome


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
