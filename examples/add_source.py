"""Add a source: a reader for a new layout, registered, and a dataset in it ingested into a temporary warehouse.

python examples/add_source.py
"""

# %%
import csv
import tempfile
from pathlib import Path

import numpy as np

from models.leads import STANDARD_LEADS, to_twelve_leads
from tasks.ingestion.task import ingest_recordings, reference_source
from tasks.settings import ComputeSettings, IngestionSettings, SourceSettings
from warehouse.catalog.catalog import query
from warehouse.sources.record import BadRecord, SourceRecord
from warehouse.sources.recorded_leads import RecordedLeads
from warehouse.sources.registry import SOURCES
from warehouse.sources.source import Source
from warehouse.storage.store import Store

place = tempfile.TemporaryDirectory()
dataset, uri = Path(place.name) / "clinic", str(Path(place.name) / "warehouse")

# %% A dataset: a table of visits, and a NumPy file of each ECG, (12, samples) in mV at 100 Hz. One file is too short.
dataset.mkdir()
seconds, rng = np.arange(1000) / 100, np.random.default_rng(1)
with (dataset / "visits.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["visit", "patient", "age", "sex", "diagnosis"])
    for visit in range(40):
        table.writerow([visit, visit // 2, 30 + visit, "FM"[visit % 2], ("SR", "STACH")[visit % 2]])
        phase = seconds * (70, 120)[visit % 2] / 60 % 1
        beat = np.exp(-0.5 * ((phase - 0.5) / 0.02) ** 2) + 0.3 * np.exp(-0.5 * ((phase - 0.8) / 0.05) ** 2)
        leads = np.linspace(0.5, 1.5, 8)[:, None] * beat + rng.normal(0, 0.01, (8, 1000))
        np.save(dataset / f"{visit:04d}.npy", to_twelve_leads(leads)[:, : 300 if visit == 7 else None])


# %% The reader says what the dataset states, and decodes a file. Splits, pseudonyms, checks of the waveform,
# measurements and the dataset's digest are the same for all sources and happen elsewhere.
class ClinicSource(Source):
    """A folder with visits.csv and one .npy file per visit."""

    name = "clinic"

    def rows(self) -> list[SourceRecord]:
        with (self.folder / "visits.csv").open(newline="") as file:
            return [self._record(row) for row in csv.DictReader(file)]

    def _record(self, row: dict[str, str]) -> SourceRecord:
        return SourceRecord(
            record=row["visit"],
            patient=row["patient"],
            age_years=float(row["age"]),
            sex={"F": "female", "M": "male"}.get(row["sex"]),
            text="",
            statements=((row["diagnosis"], 100.0),),  # codes of warehouse/statements.yaml, with likelihood
            superclasses=(),
            strat_fold=None,  # this dataset has no folds: ingestion draws one for each patient
            files=((100, f"{int(row['visit']):04d}"),),
        )

    def files(self) -> list[str]:
        return ["visits.csv", *(f"{stem}.npy" for record in self.rows() for _, stem in record.files)]

    def decode(self, record: SourceRecord, rate_hz: int) -> RecordedLeads:
        try:
            signal = np.load(self.folder / f"{record.path(100)}.npy")
        except FileNotFoundError as error:
            raise BadRecord("missing_file", f"{Path(error.filename).name} is not there") from None
        return RecordedLeads(100.0, dict(zip(STANDARD_LEADS, signal, strict=True)))


# %% In the repository the class is a file of warehouse/sources/ and this is a line of registry.py. A test then fails
# until tests/warehouse/sources/example_datasets/ has an example, on which the contract of all sources is tested.
SOURCES["clinic"] = f"{__name__}:ClinicSource"

# %%
source = reference_source.fn(SourceSettings(kind="clinic", path=str(dataset)), uri)
recordings = ingest_recordings.fn(IngestionSettings(workers=1), "clinic", source, ComputeSettings(), uri)
print(f"{recordings.rows} of {source.rows} ECGs are in the warehouse")
for split, ecgs, bpm in query(
    Store(uri), "select split, count(*), avg(heart_rate_bpm) from recordings group by 1"
).rows:
    print(f"{split}: {ecgs} ECGs, mean heart rate {bpm:.0f} bpm")
for record, reason, detail in query(Store(uri), "select record, reason, detail from quarantine").rows:
    print(f"refused {record}: {reason}, {detail}")
place.cleanup()
