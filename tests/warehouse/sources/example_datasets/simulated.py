"""A dataset of the simulator, with each kind of damage that it does on purpose."""

from __future__ import annotations

import shutil
from pathlib import Path

import wfdb

from models.leads import STANDARD_LEADS, canonical_lead
from tasks.settings import SimulationSettings
from tasks.simulation.task import DAMAGES, simulate_dataset
from tests.warehouse.sources.example_datasets import Example
from warehouse.storage.manifest import MANIFEST
from warehouse.storage.store import Store

REASON_OF_DAMAGE = {
    "truncated signal": "bad_signal",
    "missing signal": "missing_file",
    "garbage header": "bad_header",
    "missing lead": "missing_lead",
    "invalid samples": "invalid_samples",
    "flipped bits": "checksum",
    "too short": "too_short",
}
RECORDS = 20


def write(folder: Path) -> Example:
    """Simulate it."""
    warehouse = folder.with_name(f"{folder.name}-warehouse")
    reference = simulate_dataset.fn(SimulationSettings(recordings=RECORDS, damaged_files=len(DAMAGES)), str(warehouse))
    shutil.copytree(reference.uri, folder, ignore=shutil.ignore_patterns(MANIFEST))
    damaged = Store(str(warehouse)).manifest(reference).facts["damaged"]
    written = {}
    for header in sorted(folder.rglob("*.hea")):
        name = header.relative_to(folder).with_suffix("").as_posix()
        if name not in damaged:
            record = wfdb.rdrecord(str(header.with_suffix("")))
            order = [[canonical_lead(lead) for lead in record.sig_name].index(lead) for lead in STANDARD_LEADS]
            written[name] = record.p_signal.T[order]
    return Example(
        folder=folder,
        rows=RECORDS,
        tables=("ptbxl_database.csv", "scp_statements.csv", "SIMULATED.md"),
        rate_hz=100,
        written=written,
        unusable={name: REASON_OF_DAMAGE[damage] for name, damage in damaged.items()},
        said={name: {"coded_views": ()} for name in written},
    )
