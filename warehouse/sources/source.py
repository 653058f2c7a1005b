"""What a reader of ECG datasets does. Each dataset layout has its reader, in a file of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from warehouse.sources.record import RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads, first_window
from warehouse.storage.facts import StatementFact


class Source(ABC):
    """A dataset of ECG recordings in a folder.

    A reader says what the dataset states of each record and decodes waveforms. What is the same for all datasets
    happens elsewhere: which window of a waveform is kept and whether it can be (`recorded_leads`), when a dataset has
    changed (`content`), splits and pseudonyms (ingestion).

    Args:
        folder: the dataset's folder.

    Raises:
        SourceError: the folder is not in the layout that the reader reads.
    """

    name: str
    """Name that recordings carry, e.g. ptbxl; patients and records are identified within a name."""
    simulated: bool = False
    """Whether the recordings were made by Einthoven's simulator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def rows(self) -> Sequence[SourceRecord | RefusedRecord]:
        """Every record that the dataset lists, in an order that depends on its content only.

        Raises:
            SourceError: a table of the dataset is missing or malformed; the message names the file.
        """

    @abstractmethod
    def statements(self) -> dict[str, StatementFact]:
        """Statement code to its description, superclass ("" if it has none) and kind: diagnostic, form or rhythm."""

    @abstractmethod
    def files(self) -> Iterable[str]:
        """Paths inside the folder of every file that shapes what is read; those that are not there may be left out."""

    @abstractmethod
    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode a record's file.

        Args:
            rate_hz: sampling rate that is wanted; of a record that the dataset holds at several rates, that one.

        Raises:
            BadRecord: why it cannot be decoded.
        """

    def read(self, record: SourceRecord, rate_hz: int, duration_s: float = 10.0) -> np.ndarray:
        """Read the first window of a record: (8, samples) float32 mV, leads in the order of `INDEPENDENT_LEADS`.

        Raises:
            BadRecord: why it cannot be used.
        """
        return first_window(self.decode(record, rate_hz), rate_hz, round(duration_s * rate_hz))

    def records(self, first: int | None = None) -> list[SourceRecord]:
        """The usable ones among all rows, or among the first few."""
        return [row for row in self.rows()[:first] if isinstance(row, SourceRecord)]

    def refused(self, first: int | None = None) -> list[RefusedRecord]:
        """The others."""
        return [row for row in self.rows()[:first] if isinstance(row, RefusedRecord)]
