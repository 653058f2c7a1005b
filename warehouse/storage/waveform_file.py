"""All waveforms of a recordings dataset in one file that is mapped into memory, so that reading any rows costs little.

The file is derived from the Parquet parts, whose int16 values it holds as they are, and lies in `_cache/waveforms/` of
the warehouse under the dataset's id. It belongs to no dataset and no release, and may be deleted: it is written again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from models.leads import LEAD_COLUMNS
from warehouse.errors import WarehouseError
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store
from warehouse.storage.waveforms import microvolts
from warehouse.storage.whole_files import whole_file, writing


def waveform_file(store: Store, recordings: Reference) -> Path:
    """The file with the waveforms of a recordings dataset; written unless it is there.

    Of two runs that need it at once, one writes it while the other waits.

    Raises:
        WarehouseError: the dataset is gone or changed, or the file cannot be written.
    """
    path = store.root / "_cache" / "waveforms" / f"{recordings.id}.npy"
    if not _is_whole(path, recordings.rows):
        with store.lock(f"waveforms-{recordings.id}"):
            if not _is_whole(path, recordings.rows):
                _write(store, recordings, path)
    return path


def map_waveforms(path: Path) -> np.ndarray:
    """Waveforms at rest, read-only: (rows, 8, samples) int16 µV, rows as in the recordings table.

    Raises:
        WarehouseError: the file is gone or damaged.
    """
    try:
        mapped: np.ndarray = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise WarehouseError(f"cannot map {path} ({error}); run the same command again, which writes it anew") from None
    return mapped


def _is_whole(path: Path, rows: int) -> bool:
    if not path.exists():
        return False
    try:
        return len(map_waveforms(path)) == rows
    except WarehouseError:
        return False


def _write(store: Store, recordings: Reference, path: Path) -> None:
    manifest, folder = store.manifest(recordings), store.path(recordings)
    with writing(path):
        # What runs left that were killed while they wrote; only the holder of the lock writes.
        for leftover in path.parent.glob(f".{path.name}.*"):
            leftover.unlink(missing_ok=True)
    with whole_file(path) as file:
        for number, part in enumerate(manifest.parts("recordings")):
            waveforms = microvolts(pq.read_table(folder / part.path, columns=list(LEAD_COLUMNS), partitioning=None))
            if not number:
                shape = (manifest.rows, *waveforms.shape[1:])
                descr = np.lib.format.dtype_to_descr(waveforms.dtype)
                header = {"descr": descr, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(waveforms.data)
