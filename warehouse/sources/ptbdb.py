"""PTB Diagnostic ECG Database (Bousseljot et al. 1995; doi 10.13026/C28C71), in the layout of its PhysioNet release.

What the headers state is the clinical diagnosis of a patient, not a reading of the ECG: a patient with a myocardial
infarction may have an ECG without one. Its statements therefore have likelihood 0, unknown. Folders name patients. The
three Frank leads beside the twelve are left out.
"""

from __future__ import annotations

from warehouse.sources.findings import findings
from warehouse.sources.header_comments import HeaderComments
from warehouse.sources.people import age_years, sex
from warehouse.sources.record import SourceRecord
from warehouse.sources.wfdb_headers import WfdbHeadersSource
from warehouse.statements import UNKNOWN, Stated, foreign, statements

_REASON = "reason for admission"
_LOCALISATIONS = ("acute infarction (localization)", "former infarction (localization)")
_MORE = "additional diagnoses"
_SAYS_NOTHING = ("", "no", "n/a", "unknown")


class PtbdbSource(WfdbHeadersSource):
    """PTB Diagnostic: folders `patient001` and so on, each with the recordings of one patient."""

    name = "ptbdb"
    wanted = "patient folder (patient001/…) with WFDB headers; is it PTB Diagnostic?"

    def lists(self, stem: str) -> bool:
        """Whether it lies in a patient's folder."""
        return stem.startswith("patient") and stem.count("/") == 1

    def record_of(self, stem: str, header: HeaderComments) -> SourceRecord:
        """Age, sex and the patient's diagnoses."""
        said = header.fields()
        stated = findings(_stated(said), likelihood=UNKNOWN)
        return SourceRecord(
            record=stem,
            patient=stem.partition("/")[0],
            age_years=age_years(said.get("age", "")),
            sex=sex(said.get("sex", "")),
            text="",
            statements=stated.statements,
            superclasses=stated.superclasses,
            strat_fold=None,
            coded_views=stated.coded_views,
            files=((round(header.rate_hz), stem),),
        )


def _stated(said: dict[str, str]) -> list[Stated | str]:
    reason = said.get(_REASON, "")
    walls = [said[name] for name in _LOCALISATIONS if said.get(name, "").lower() not in _SAYS_NOTHING]
    phrases = [f"infarction: {wall}" for wall in walls]
    # An infarction whose wall is stated needs no second statement without one.
    if not (walls and reason == "Myocardial infarction"):
        phrases.insert(0, reason)
    phrases += said.get(_MORE, "").split(",")
    found: list[Stated | str] = []
    for phrase in (one.strip() for one in phrases):
        if phrase.lower() not in _SAYS_NOTHING:
            known = statements().of_phrase(phrase)
            found.append(Stated(known, UNKNOWN) if known else foreign("PTBDB", phrase))
    return found
