"""PTB-XL (Wagner et al. 2020, doi 10.1038/s41597-020-0495-6), in the layout of its PhysioNet release.

Two conventions of PTB-XL shape what is read. A likelihood of 0 means that it is unknown, not that the statement is
absent, so a statement counts towards its superclass whatever its likelihood, as in the dataset's own example code and
benchmarks. An age of 300 stands for older than 89, which is read as 90.
"""

from __future__ import annotations

import ast
import re
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from warehouse.errors import SourceError
from warehouse.sources.csv_table import csv_rows
from warehouse.sources.inside import inside
from warehouse.sources.people import age_years, patient_id, sex
from warehouse.sources.record import BadRecord, RefusedRecord, SourceRecord
from warehouse.sources.recorded_leads import SAME_RATE, RecordedLeads
from warehouse.sources.source import Source
from warehouse.sources.wfdb_record import read_leads, record_files
from warehouse.statements import superclasses_of
from warehouse.storage.facts import StatementFact

DATABASE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"
SIMULATED_MARK = "SIMULATED.md"
"""File that marks a dataset of Einthoven's simulator, which writes it in this layout."""

FILE_COLUMNS = {100: "filename_lr", 500: "filename_hr"}
DATABASE_COLUMNS = ("ecg_id", "patient_id", "age", "sex", "report", "scp_codes", "strat_fold", *FILE_COLUMNS.values())
VIEW_COLUMNS = {
    "axis": ("heart_axis",),
    "infarction_stage": ("infarction_stadium1", "infarction_stadium2"),
    "extra_beats": ("extra_beats",),
    "pacemaker": ("pacemaker",),
}
"""Coded views and the columns that hold them; a dataset without these columns is none the worse."""
VIEW_OF_COLUMN = {column: view for view, columns in VIEW_COLUMNS.items() for column in columns}
KEPT = 50_000
"""What a row codes is worked out once, and held once in memory, for all rows that code the same."""
STATEMENT_COLUMNS = ("description",)

LONGEST_STATEMENTS = 10_000
"""Characters; hundreds of statements."""


class PtbxlSource(Source):
    """PTB-XL."""

    name = "ptbxl"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not (folder / DATABASE).exists():
            nested = next((found.parent for found in sorted(folder.glob(f"*/{DATABASE}"))), None)
            hint = f"did you mean {nested}?" if nested else "is it PTB-XL, unpacked?"
            raise SourceError(f"{folder} has no {DATABASE}; {hint}")
        # What was simulated must never pass for recordings of people, nor the other way round.
        if (folder / SIMULATED_MARK).exists() != self.simulated:
            raise SourceError(
                f"{folder} has no {SIMULATED_MARK}: its recordings were not simulated; set source.kind to what they are"
                if self.simulated
                else f"{folder} holds {SIMULATED_MARK}: its recordings were simulated, not of people; for such, set "
                "source.kind to simulated and give no source.path (--data)"
            )

    def rows(self) -> list[SourceRecord | RefusedRecord]:
        """The rows of the database, in its order. A list of statements that cannot be read is an error here, too.

        Raises:
            SourceError: a table is missing, unreadable, without a needed column, or without rows.
        """
        _ = self._words
        return self._rows

    def statements(self) -> dict[str, StatementFact]:
        """Every statement of its own list, and those that records make beside it."""
        return {code: self.describe(code) for code in (*self._words, *self.statement_counts())}

    def words(self) -> dict[str, str]:
        """Statement code to its description in the dataset's own list."""
        return self._words

    def files(self) -> list[str]:
        """The tables and every file of a record, at every rate."""
        stems = {stem for record in self.records() for _, stem in record.files}
        return [DATABASE, STATEMENTS, *record_files(self.folder, stems)]

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record's file of a sampling rate, or of the next higher one that there is.

        Raises:
            BadRecord: there is none, or why it cannot be decoded.
        """
        found = record.file(rate_hz)
        if found is None:
            raise BadRecord("missing_file", f"the dataset names no file of this record at {rate_hz} Hz or more")
        stated_hz, stem = found
        recorded = read_leads(self.folder / stem, self.folder)
        if abs(recorded.rate_hz - stated_hz) > SAME_RATE * stated_hz:
            raise BadRecord("wrong_rate", f"the header says {recorded.rate_hz:g} Hz, the dataset {stated_hz} Hz")
        return recorded

    @cached_property
    def _words(self) -> dict[str, str]:
        path = self.folder / STATEMENTS
        found: dict[str, str] = {}
        for row in csv_rows(path, STATEMENT_COLUMNS):
            # The code's column has no name in the official file.
            code = (row.get("") or row.get("code") or "").strip()
            if not code:
                raise SourceError(f"{path}: a row has no statement code in its first column; restore the official file")
            found[code] = row["description"].strip() or code
        return found

    @cached_property
    def _rows(self) -> list[SourceRecord | RefusedRecord]:
        found: list[SourceRecord | RefusedRecord] = []
        seen: set[str] = set()
        for number, row in enumerate(csv_rows(self.folder / DATABASE, DATABASE_COLUMNS), start=1):
            record = patient_id(row["ecg_id"]) or f"row {number}"
            try:
                if record in seen:
                    raise BadRecord("duplicate_record", f"ecg_id {record} is in an earlier row, too")
                seen.add(record)
                found.append(self._record(record, row))
            except BadRecord as error:
                found.append(RefusedRecord(row["filename_lr"].strip() or record, error.reason, error.detail))
        return found

    def _record(self, record: str, row: dict[str, str]) -> SourceRecord:
        patient = patient_id(row["patient_id"])
        if not patient:
            raise BadRecord("missing_patient", f"patient_id {row['patient_id'][:40]!r} names nobody")
        fold = _number(row["strat_fold"])
        if fold is None or fold not in range(1, 11):
            raise BadRecord("bad_fold", f"strat_fold is {row['strat_fold']!r}, not a whole number from 1 to 10")
        codes, superclasses = _stated(row["scp_codes"])
        files = {rate_hz: row[column].strip() for rate_hz, column in FILE_COLUMNS.items()}
        return SourceRecord(
            record=record,
            patient=patient,
            age_years=age_years(row["age"]),
            sex=sex(row["sex"]),
            text=row["report"].strip(),
            statements=codes,
            superclasses=superclasses,
            strat_fold=int(fold),
            coded_views=_views(tuple(row.get(name, "").strip() for name in VIEW_OF_COLUMN)),
            files=tuple((rate_hz, inside(name)) for rate_hz, name in files.items() if name),
        )


def _number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


@lru_cache(KEPT)
def _stated(text: str) -> tuple[tuple[tuple[str, float], ...], tuple[str, ...]]:
    """Statements as written in `scp_codes`, and their superclasses."""
    codes = _codes(text)
    return codes, superclasses_of([code for code, _ in codes])


def _codes(text: str) -> tuple[tuple[str, float], ...]:
    """Statements as written in `scp_codes`, a Python dictionary from code to likelihood in percent."""
    try:
        codes = ast.literal_eval(text.strip()) if len(text) <= LONGEST_STATEMENTS else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise BadRecord(
            "bad_statements", f"scp_codes is {text[:80]!r}, not a mapping from code to likelihood"
        ) from None
    if not isinstance(codes, dict):
        raise BadRecord("bad_statements", f"scp_codes is {text[:80]!r}, not a mapping from code to likelihood")
    for code, likelihood in codes.items():
        number = isinstance(likelihood, int | float) and not isinstance(likelihood, bool)
        if not isinstance(code, str) or not number or not 0 <= likelihood <= 100:
            raise BadRecord("bad_statements", f"scp_codes: {code!r} has likelihood {likelihood!r}, not 0 to 100")
    return tuple((code, float(likelihood)) for code, likelihood in codes.items())


@lru_cache(KEPT)
def _views(texts: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Coded views of what a row says in the columns of `VIEW_OF_COLUMN`."""
    found: dict[str, dict[str, None]] = {view: {} for view in VIEW_COLUMNS}
    for view, text in zip(VIEW_OF_COLUMN.values(), texts, strict=True):
        found[view] |= dict.fromkeys(_view_codes(view, text))
    return tuple((view, tuple(codes)) for view, codes in found.items() if codes)


def _view_codes(view: str, text: str) -> list[str]:
    """Codes of what a column says; extra beats and pacemakers are free words there ("VES,SVES1,alles", "ja, nan")."""
    if view == "extra_beats" and text:
        kinds = (("ventricular", r"(?<!S)VES"), ("supraventricular", "SVES"))
        return [kind for kind, word in kinds if re.search(word, text)] or ["unspecified"]
    if view == "pacemaker" and text:
        return ["possible" if "?" in text else "present"]
    return [text] if text else []
