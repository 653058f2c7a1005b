"""The page of results says what the records say."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from benchmarks.ablation_chart import DIGEST, digest
from benchmarks.ablation_table import SOURCES
from benchmarks.page import CHART, CHARTED, PATH, page
from benchmarks.record import RESULTS, Check, publish


def test_the_committed_page_is_that_of_the_committed_records() -> None:
    written = PATH.read_text(encoding="utf-8")
    assert written == page(), (
        "a record of a benchmark has changed: write docs/results.md with python -m benchmarks.page"
    )
    assert written.count("\n## ") == len(list(RESULTS.glob("*.json")))


def test_the_committed_chart_is_that_of_the_committed_record() -> None:
    details = json.loads(CHARTED.read_text(encoding="utf-8"))["details"]
    with Image.open(CHART) as picture:
        assert picture.info[DIGEST] == digest(details), "draw docs/ablation.png with python -m benchmarks.page"
    changed = next(run for run in details["runs"] if run["arm"] == "full")["figures"]["FID"]
    changed["value"] += 0.01
    assert picture.info[DIGEST] != digest(details)


def test_figures_stand_with_interval_unit_target_and_verdict(tmp_path: Path) -> None:
    checks = [
        Check(name="speed", value=1234.56, low=1200.0, high=1300.0, unit="records/s", target=2000.0),
        Check(name="error", value=0.12345, unit="mV", target=0.2, comparison="<="),
        Check(name="absent", value=None, unit="mV", target=1.0),
    ]
    publish("some", checks, quick=True, seconds=1200, settings={"profile": "demo"}, results=tmp_path, show=False)
    written = page(tmp_path)
    assert (
        "## some, quick\n\n`python -m benchmarks.some --quick --profile demo`, 20" in written and "20 min on" in written
    )
    assert "| speed | 1,235 (1,200 – 1,300) records/s | ≥ 2,000 | **missed** |" in written
    assert "| error | 0.123 mV | ≤ 0.2 | met |" in written
    assert "| absent | – | ≥ 1 |  |" in written


def test_the_ablation_has_a_column_per_arm_and_says_what_is_missing(tmp_path: Path) -> None:
    def figure(value: float) -> dict[str, object]:
        return {"value": value, "low": value - 1, "high": value + 1, "interval": "bootstrap", "runs": 3}

    details = {
        "table": {"real": {"FID": {**figure(2), "low": None, "high": None}}, "base": {"ODE residual": figure(8)}},
        "intervals": SOURCES,
        "missing": ["full, training seed 1, cohort seed 1"],
    }
    publish("ablation", [], quick=False, seconds=1, settings={}, details=details, results=tmp_path, show=False)
    written = page(tmp_path)
    assert "|  | real | base |\n| --- | --- | --- |\n| runs | 3 | 3 |\n| FID | 2 | – |" in written
    assert "| ODE residual (mV/s) | – | 8 (7 – 9) |" in written
    assert written.endswith("\nIntervals: bootstrap of one evaluation. 1 runs are missing.\n")
