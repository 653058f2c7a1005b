"""LUDB, the Lobachevsky University Database (Kalyakulina et al. 2020, doi 10.1109/ACCESS.2020.3029211).

Cardiologists marked P, QRS and T on every lead, and wrote diagnoses in words into the headers. The gains of the headers
scale every lead by itself, so that III is not II − I any more; the samples are microvolts, which keep the identity.
Boundaries are read by the benchmark of delineation, not here: nothing learns from them.
"""

from __future__ import annotations

from models.leads import canonical_lead
from warehouse.sources.findings import findings
from warehouse.sources.header_comments import HeaderComments
from warehouse.sources.people import age_years, sex
from warehouse.sources.record import SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.wfdb_header import parse_header
from warehouse.sources.wfdb_headers import WfdbHeadersSource
from warehouse.statements import CERTAIN, Stated, foreign, statements

DATA = "data"
MICROVOLTS_PER_MILLIVOLT = 1000.0
_RATE_HZ = 500


class LudbSource(WfdbHeadersSource):
    """LUDB: a folder with data/; every record is of another person."""

    name = "ludb"
    wanted = f"folder {DATA} with WFDB headers; is it LUDB, unpacked?"

    def lists(self, stem: str) -> bool:
        """Whether it lies in data/."""
        return stem.startswith(f"{DATA}/")

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        """Decode the record and undo the header's gains."""
        stem = self.folder / record.path(rate_hz)
        recorded = super().decode(record, rate_hz)
        header = parse_header(stem.with_name(f"{stem.name}.hea").read_bytes(), stem.name)
        written = {canonical_lead(signal.lead): signal for signal in header.signals}
        return RecordedLeads(
            recorded.rate_hz,
            {
                lead: (samples * written[lead].gain + written[lead].baseline) / MICROVOLTS_PER_MILLIVOLT
                for lead, samples in recorded.millivolts.items()
            },
        )

    def record_of(self, stem: str, header: HeaderComments) -> SourceRecord:
        """Age, sex and diagnoses in words."""
        said = header.fields()
        words = [line.strip(" .") for line in header.lines if line.strip() and not line.startswith("<")]
        stated = findings(_stated(line) for line in words)
        record = stem.rpartition("/")[2]
        return SourceRecord(
            record=record,
            patient=record,
            age_years=age_years(said.get("age", "")),
            sex=sex(said.get("sex", "")),
            text="; ".join(words),
            statements=stated.statements,
            superclasses=stated.superclasses,
            strat_fold=None,
            coded_views=stated.coded_views,
            files=((_RATE_HZ, stem),),
        )


def _stated(line: str) -> Stated | str:
    name, colon, words = line.partition(":")
    known = statements().of_phrase(line) or (statements().of_phrase(words) if colon and name == "Rhythm" else None)
    return Stated(known, CERTAIN) if known else foreign("LUDB", line)
