"""The benchmark counts what the detector says of exchanged electrodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.electrode_swaps import mean_moments, moments_of, swap_checks
from tests.warehouse.small_dataset import SmallDataset
from warehouse.sources.registry import open_source


def test_shares_are_of_the_recordings_that_can_be_judged(tmp_path: Path) -> None:
    dataset = SmallDataset(tmp_path / "ptbxl", records=6)
    dataset.stem(2).with_suffix(".dat").unlink()
    source = open_source("ptbxl", dataset.folder)
    moments = moments_of(source, source.records())
    assert moments.shape == (5, 3, 8, 8)
    checks = {check.name: check for check in swap_checks(moments, "x: ")}
    assert {check.n for check in checks.values()} == {5}
    assert checks["x: ra_la flagged when exchanged"].value == 1
    assert checks["x: any swap flagged as recorded"].value == 0
    np.testing.assert_allclose(np.trace(mean_moments(moments), axis1=1, axis2=2), 10_000, atol=8)
