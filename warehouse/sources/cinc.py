"""PhysioNet/Computing in Cardiology Challenges 2020 and 2021 (Reyna et al. 2021, doi 10.23919/CinC53138.2021.9662687).

Every record is a WFDB header with a MATLAB signal file. Diagnoses are SNOMED CT concepts in the comment `Dx`; the
headers of CPSC 2018 that circulate as its first version carry words instead (`Dx: RBBB`). The folder of a record names
its centre. Patients are not named, so each record is a patient of its own; INCART and PTB hold several records of some
people.
"""

from __future__ import annotations

import posixpath

from warehouse.sources.findings import findings
from warehouse.sources.header_comments import HeaderComments
from warehouse.sources.people import age_years, sex
from warehouse.sources.record import SourceRecord
from warehouse.sources.wfdb_headers import WfdbHeadersSource
from warehouse.statements import CERTAIN, Stated, foreign, statements

CENTRES = (
    "cpsc_2018",
    "cpsc_2018_extra",
    "st_petersburg_incart",
    "ptb",
    "ptb-xl",
    "georgia",
    "chapman_shaoxing",
    "ningbo",
)
"""Folders of the challenge of 2021; that of 2020 has the first six."""


class CincSource(WfdbHeadersSource):
    """The training data of a challenge: any folder that holds folders of centres."""

    name = "cinc"
    wanted = f"folder of a centre ({', '.join(CENTRES)}) with WFDB headers; is it CinC 2020 or 2021?"

    def lists(self, stem: str) -> bool:
        """Whether it lies in the folder of a centre."""
        return bool(centre_of(stem))

    def record_of(self, stem: str, header: HeaderComments) -> SourceRecord:
        """Age, sex, diagnoses and centre."""
        record = posixpath.basename(stem)
        said = header.fields()
        codes = [code for code in (one.strip() for one in said.get("dx", "").split(",")) if code]
        stated = findings(
            (_stated(code) for code in codes),
            {"snomed": [code for code in codes if code.isdigit()], "centre": [centre_of(stem)]},
        )
        return SourceRecord(
            record=record,
            patient=record,
            age_years=age_years(said.get("age", "")),
            sex=sex(said.get("sex", "")),
            text="",
            statements=stated.statements,
            superclasses=stated.superclasses,
            strat_fold=None,
            coded_views=stated.coded_views,
            files=((round(header.rate_hz), stem),),
        )


def centre_of(stem: str) -> str:
    """The centre that a record's path names; "" for a file of none."""
    return next((part for part in reversed(stem.split("/")[:-1]) if part in CENTRES), "")


def _stated(code: str) -> Stated | str:
    vocabulary = statements()
    known = vocabulary.of_snomed(code) if code.isdigit() else vocabulary.of_phrase(code)
    return Stated(known, CERTAIN) if known else foreign("SNOMED" if code.isdigit() else "CinC", code)
