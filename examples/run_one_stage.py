"""Run one stage from Python, with the settings of a profile changed in code, and read what it left.

python examples/run_one_stage.py                    in the repository's folder; it needs no warehouse
"""

# %%
import tempfile

from flows.profiles import load_settings
from tasks.ingestion.task import ingest_recordings
from tasks.simulation.task import simulate_dataset
from warehouse.catalog.catalog import query
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.store import Store

warehouse = tempfile.TemporaryDirectory()
uri = warehouse.name

# %% A profile of prefect.yaml is a typed object: sections of settings, which are immutable. A changed one is a copy.
profile = load_settings("demo")
simulation = profile.source.simulation.model_copy(update={"recordings": 60, "damaged_files": 3})
ingestion = profile.ingestion.model_copy(update={"recordings_per_part": 32, "workers": 1})

# %% A stage is a Prefect task; `.fn` is the function below it, which runs without Prefect. Stages hand each other
# references to what they committed, never data. Ingestion starts a local Ray unless RAY_ADDRESS names one.
source = simulate_dataset.fn(simulation, uri)
recordings = ingest_recordings.fn(ingestion, profile.source.kind, source, profile.compute, uri)
print(f"{recordings.kind} {recordings.id}: {recordings.rows} rows")

# %% The id is a digest of settings, inputs and code version: the same again is found, not made.
assert ingest_recordings.fn(ingestion, profile.source.kind, source, profile.compute, uri) == recordings

# %% The manifest says how a dataset was made; its facts are the small results, typed by kind of dataset.
store = Store(uri)
manifest = store.manifest(recordings)
print(f"made by '{manifest.lineage.stage}', code version {manifest.lineage.code_version}")
print(f"of {', '.join(f'{one.kind} {one.id}' for one in manifest.lineage.inputs)}")
print(f"tables {', '.join(manifest.tables)}")
facts = store.facts(recordings, RecordingsFacts)
print(f"splits {facts.splits}")
print(f"quarantined {facts.quarantined}")

# %% Its tables are read as Arrow, or by SQL through the catalog.
ages = store.read(recordings, "recordings", columns=["age_years"])
print(f"ages from {min(ages['age_years'].to_pylist()):.0f} to {max(ages['age_years'].to_pylist()):.0f} years")
for reason, detail in query(store, "select reason, detail from quarantine order by record").rows:
    print(f"{reason}: {detail}")
warehouse.cleanup()
