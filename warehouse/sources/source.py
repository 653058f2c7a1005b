"""What a reader of ECG datasets does. Each dataset layout has its reader, in a file of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from warehouse.sources.record import RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads, first_window
from warehouse.statements import statements
from warehouse.storage.facts import StatementFact


class Source(ABC):
    """A dataset of ECG recordings in a folder.

    A reader says what the dataset states of each record, in the codes of the vocabulary (`warehouse.statements`), and
    decodes waveforms. What is the same for all datasets happens elsewhere: which windows of a waveform are kept, at
    which rate, and whether they can be (`recorded_leads`), when a dataset has changed (`content`), splits and
    pseudonyms (ingestion).

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
    def files(self) -> Iterable[str]:
        """Paths inside the folder of every file that shapes what is read; those that are not there may be left out."""

    @abstractmethod
    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode a record's file.

        Args:
            rate_hz: sampling rate that is wanted; of a record that the dataset holds at several rates, that one or the
                next higher. What a dataset holds at one rate only is decoded at that rate. It is resampled later.

        Raises:
            BadRecord: why it cannot be decoded.
        """

    def parts(self) -> Sequence[Source]:
        """The datasets that it consists of: itself, unless it is a collection."""
        return [self]

    def words(self) -> Mapping[str, str]:
        """What the dataset itself calls the codes that the vocabulary lacks; not all need words."""
        return {}

    def unread(self) -> Mapping[str, int]:
        """Phrases of reports that the vocabulary lacks, with the number of records that hold them."""
        return {}

    def statements(self) -> dict[str, StatementFact]:
        """Every statement that a record makes, by code: description, superclass ("" if it has none) and kind:
        diagnostic, form, rhythm or technical ("" for a statement that the vocabulary lacks).
        """
        return {code: self.describe(code) for code in self.statement_counts()}

    def describe(self, code: str) -> StatementFact:
        """What the vocabulary, else the dataset, says of a code."""
        if known := statements().by_code.get(code):
            return {"description": known.description, "superclass": known.superclass, "kind": known.kind}
        return {"description": self.words().get(code) or code, "superclass": "", "kind": ""}

    def statement_counts(self) -> Counter[str]:
        """Code to the number of listed records that state it, in the order in which they first do."""
        return Counter(code for one in self.records() for code, _ in one.statements)

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
