"""Tables of MIMIC-IV's module hosp (Johnson et al. 2023, doi 10.1038/s41597-022-01899-x): who a patient is, and what
was coded of the admission during which an ECG was recorded.

The three code views are those by which SE-Diff (arXiv 2511.09895) finds similar patients. A stay counts from the
emergency department on, where it began there. Codes of a whole stay are taken, those that were only assigned at
discharge too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.errors import SourceError
from warehouse.sources.people import OLDER_THAN_STATED_YEARS, age_years, sex

TABLES = ("patients", "admissions", "diagnoses_icd", "procedures_icd", "prescriptions")
_STAYS = """select subject_id, hadm_id, least(admittime, coalesce(edregtime, admittime)), dischtime
    from {admissions} order by subject_id, admittime, hadm_id"""
_CODES = {
    "diagnoses": "select hadm_id, 'ICD' || icd_version || ':' || trim(icd_code), min(try_cast(seq_num as integer)) "
    "from {diagnoses_icd} where icd_code is not null group by all order by all",
    "procedures": "select hadm_id, 'ICD' || icd_version || ':' || trim(icd_code), min(try_cast(seq_num as integer)) "
    "from {procedures_icd} where icd_code is not null group by all order by all",
    "medications": "select distinct hadm_id, lower(trim(drug)), 0 from {prescriptions} "
    "where drug is not null order by all",
}
"""View to the query of its codes per admission."""


@dataclass(frozen=True)
class Person:
    """A patient's sex, and the age that the patient has in a year of the shifted calendar."""

    sex: str | None
    anchor_age: float | None
    anchor_year: int

    def age_in(self, year: int) -> float | None:
        """Age in years in a year; 90 stands for older than 89 (MIMIC-IV writes 91 for them), None for unknown."""
        if self.anchor_age is None:
            return None
        since = year - self.anchor_year
        # How old they were before is not stated of people who are older than 89.
        if self.anchor_age >= OLDER_THAN_STATED_YEARS and since < 0:
            return None
        return age_years(str(max(self.anchor_age + since, 0.0)))


class HospitalStays:
    """The tables of a folder `hosp`, as .csv or .csv.gz.

    Args:
        folder: the folder; all five tables must be there.
        patients: `subject_id`s that are wanted.

    Raises:
        SourceError: a table is missing or malformed.
    """

    def __init__(self, folder: Path, patients: Iterable[str]) -> None:
        self.folder = folder
        wanted = sorted(set(patients))
        with duckdb.connect() as connection:
            connection.execute("create table wanted as select unnest(?::varchar[]) as subject_id", [wanted])
            rows = self._ask(connection, "select subject_id, gender, anchor_age, anchor_year from {patients}")
            self.people = {
                subject: Person(sex(gender or ""), age_years(age or ""), int(year))
                for subject, gender, age, year in rows
            }
            self._stays: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
            for subject, stay, start, end in self._ask(connection, _STAYS):
                if start and end:
                    self._stays[subject].append((start, end, stay))
            self._views: dict[str, dict[str, tuple[str, ...]]] = {}
            for view, question in _CODES.items():
                codes: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
                for stay, code, place in self._ask(connection, question):
                    if stay:
                        codes[stay].append((int(place or 0), code))
                self._views[view] = {stay: tuple(code for _, code in sorted(many)) for stay, many in codes.items()}

    def files(self) -> list[Path]:
        """The tables' files."""
        return [self._path(table) for table in TABLES]

    def views(self, patient: str, time: str) -> dict[str, tuple[str, ...]]:
        """Code view to the codes of the stay during which a time lies; empty outside of all stays.

        Args:
            time: as in MIMIC-IV, `2180-07-23 08:44:00`.
        """
        during = [stay for start, end, stay in self._stays.get(patient, []) if start <= time <= end]
        return {view: codes[during[-1]] for view, codes in self._views.items() if during and during[-1] in codes}

    def _path(self, table: str) -> Path:
        for name in (f"{table}.csv", f"{table}.csv.gz"):
            if (self.folder / name).exists():
                return self.folder / name
        raise SourceError(f"{self.folder / table}.csv(.gz) does not exist; MIMIC-IV's folder hosp needs it")

    def _ask(self, connection: duckdb.DuckDBPyConnection, question: str) -> list[tuple[Any, ...]]:
        """Ask a question of one table, of which only rows of wanted patients are read."""
        (table,) = [one for one in TABLES if f"{{{one}}}" in question]
        path = self._path(table)
        rows = "read_csv($path, all_varchar = true, header = true, delim = ',', quote = '\"')"
        wanted = f"(select * from {rows} where subject_id in (select subject_id from wanted))"
        try:
            return connection.execute(question.format(**{table: wanted}), {"path": str(path)}).fetchall()
        except duckdb.Error as error:
            detail = " ".join(str(error).split("\n")[0].split())[:200]
            raise SourceError(f"{path} cannot be read: {detail}; restore the official file") from None
