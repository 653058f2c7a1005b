"""Every kind of dataset that can be read (setting source.kind), and its reader."""

from __future__ import annotations

import pkgutil
from pathlib import Path

from warehouse.errors import SourceError
from warehouse.sources.source import Source

SOURCES = {
    "ptbxl": "warehouse.sources.ptbxl:PtbxlSource",
    "cinc": "warehouse.sources.cinc:CincSource",
    "mimic_iv_ecg": "warehouse.sources.mimic_iv_ecg:MimicIvEcgSource",
    "ludb": "warehouse.sources.ludb:LudbSource",
    "sph": "warehouse.sources.sph:SphSource",
    "ptbdb": "warehouse.sources.ptbdb:PtbdbSource",
    "wfdb": "warehouse.sources.wfdb_folder:WfdbFolderSource",
    "hospital": "warehouse.sources.hospital:HospitalSource",
    "collection": "warehouse.sources.collection:CollectionSource",
    "simulated": "warehouse.sources.simulated:SimulatedSource",
}
"""Kind to the class of its reader, which is imported when it is used: a reader may need a library that loads slowly, or
that not every installation has."""


def open_source(kind: str, folder: Path | str, name: str | None = None) -> Source:
    """Open a dataset's folder.

    Args:
        kind: a key of `SOURCES`.
        name: name that its recordings carry, if it is not that of the kind.

    Raises:
        SourceError: the folder is missing, empty, or not in the layout of this kind.
    """
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise SourceError(f"dataset folder {folder} does not exist; check source.path (--data)")
    if not folder.is_dir():
        raise SourceError(f"{folder} is a file; source.path (--data) must be the dataset's folder")
    try:
        empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise SourceError(f"dataset folder {folder} cannot be listed ({error.strerror}); make it readable") from None
    if empty:
        raise SourceError(
            f"dataset folder {folder} is empty; download the dataset into it or check source.path (--data)"
        )
    reader: type[Source] = pkgutil.resolve_name(SOURCES[kind])
    source = reader(folder.resolve())
    source.name = name or source.name
    return source
