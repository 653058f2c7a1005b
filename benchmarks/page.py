"""Writes `docs/results.md` and `docs/ablation.png`: what the committed records of benchmarks say.

`python -m benchmarks.page`. A test holds both against the records, so that neither changes without the other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from benchmarks.ablation_chart import chart
from benchmarks.ablation_table import COLUMNS, SPEEDS
from benchmarks.record import RESULTS
from warehouse.storage.whole_files import write_text

PATH: Final = Path(__file__).resolve().parent.parent / "docs" / "results.md"
CHART: Final = PATH.with_name("ablation.png")
CHARTED: Final = RESULTS / "ablation.json"
HEAD: Final = """# Results

Every figure of the records in [benchmarks/results](../benchmarks/results), written by `python -m benchmarks.page`. What
they mean is in [benchmarks.md](benchmarks.md) and [knowledge.md](knowledge.md). In brackets: 95 % intervals.
"""
SIGNS: Final = {">=": "≥", "<=": "≤"}
MET: Final = {True: "met", False: "**missed**", None: ""}


def page(results: Path = RESULTS) -> str:
    """The page as Markdown, records in alphabetical order."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    return "\n".join([HEAD, *map(_section, records)])


def _section(record: dict[str, Any]) -> str:
    machine, name = record["machine"], record["benchmark"] + (", quick" if record["quick"] else "")
    made = f"{record['date']}, commit {record['commit']}, {_duration(record['seconds'])} on {machine['cores']} cores"
    lines = [f"## {name}", "", f"`{record['command']}`, {made} ({machine['processor']}).", ""]
    lines += _table(["", "value", "target", ""], [_check(one) for one in record["checks"]])
    if "table" in record["details"]:
        lines += ["", *_arms(record["details"])]
    for table in record["details"].get("tables", []):
        lines += ["", f"{table['title'][0].upper()}{table['title'][1:]}:", "", *_table(table["head"], table["rows"])]
    return "\n".join([*lines, ""])


def _check(check: dict[str, Any]) -> list[str]:
    target = "" if check["target"] is None else f"{SIGNS[check['comparison']]} {check['target']:,.4g}"
    unit = "" if check["value"] is None else f" {check['unit']}".rstrip()
    return [check["name"], _figure(check) + unit, target, MET[check["met"]]]


def _arms(details: dict[str, Any]) -> list[str]:
    """The ablation's table: a row per figure, a column per arm that has one."""
    arms, sources = details["table"], details["intervals"]
    units = {column.name: column.unit for column in COLUMNS}
    rows = [
        [f"{name} ({unit})" if (unit := units.get(name)) else name, *(_figure(arm.get(name)) for arm in arms.values())]
        for name in (*units, *SPEEDS)
    ]
    runs = {name: max((one["runs"] for one in arm.values()), default=0) for name, arm in arms.items()}
    used = {one["interval"] for arm in arms.values() for one in arm.values()}
    said = "; ".join(words for source, words in sources.items() if source in used)
    missing = f" {len(details['missing'])} runs are missing." if details["missing"] else ""
    return [
        *_table(["", *arms], [["runs", *map(str, runs.values())], *rows]),
        "",
        f"Intervals: {said}.{missing}",
    ]


def _figure(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return _number(figure["value"])
    return f"{_number(figure['value'])} ({_number(figure['low'])} – {_number(figure['high'])})"


def _number(value: float) -> str:
    """Three digits, and whole numbers in full."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    print(f"written to {write_text(PATH, page())}")
    CHART.write_bytes(chart(json.loads(CHARTED.read_text(encoding="utf-8"))["details"]))
    print(f"written to {CHART}")
