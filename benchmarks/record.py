"""The record of a benchmark: what was run, where, what came out, and which targets hold.

Every benchmark prints its checks as a table and writes `benchmarks/results/NAME.json`; a quick run writes
`NAME-quick.json` beside it. It exits 0 when it ran, whatever was met.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field
from rich.console import Console
from rich.table import Table

from warehouse.storage.whole_files import write_text

RESULTS: Final = Path(__file__).parent / "results"
LIBRARIES: Final = ("torch", "ray", "numpy", "scikit-learn", "duckdb", "langchain")


class Check(BaseModel):
    """One figure, with its target if it has one.

    Attributes:
        name: what was measured.
        value: the figure; None where it could not be had.
        low, high: 95 % interval.
        unit: of value, low, high and target.
        target: bound that the value is to keep; None for a figure without one.
        comparison: how value and target compare when the target is met.
        n: what it was computed from.
        seeds: seeds it was computed with.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    target: float | None = None
    comparison: Literal[">=", "<="] = ">="
    n: int | None = None
    seeds: list[int] = Field(default_factory=list)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def met(self) -> bool | None:
        """Whether the target holds; None without target or value."""
        if self.target is None or self.value is None:
            return None
        return self.value >= self.target if self.comparison == ">=" else self.value <= self.target


class Machine(BaseModel):
    """What a benchmark ran on."""

    processor: str
    cores: int
    memory_gb: float
    load: float = Field(description="Processes that wanted a core over the last minute, when the benchmark ended.")
    python: str
    libraries: dict[str, str]

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        return cls(
            processor=_processor(),
            cores=len(os.sched_getaffinity(0)),
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            load=round(os.getloadavg()[0], 2),
            python=platform.python_version(),
            libraries={name: version(name) for name in LIBRARIES},
        )


class Record(BaseModel):
    """What is written to `benchmarks/results/`."""

    benchmark: str
    quick: bool
    command: str
    commit: str
    date: str
    seconds: float
    machine: Machine
    settings: dict[str, Any]
    checks: list[Check]
    details: dict[str, Any] = Field(default_factory=dict)


def arguments(description: str) -> argparse.ArgumentParser:
    """The flags that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="smaller, for a first look")
    parser.add_argument("--profile", default="ptbxl-mini", help="profile of prefect.yaml (default: ptbxl-mini)")
    parser.add_argument("--data", type=Path, help="folder of the dataset, where the profile needs one")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="a setting to change, as in the einthoven command",
    )
    return parser


def record_path(name: str, quick: bool, results: Path = RESULTS) -> Path:
    """Where a benchmark's record is."""
    return results / f"{name}{'-quick' if quick else ''}.json"


def publish(
    name: str,
    checks: list[Check],
    *,
    quick: bool,
    seconds: float,
    settings: dict[str, Any],
    details: dict[str, Any] | None = None,
    results: Path = RESULTS,
    show: bool = True,
) -> Path:
    """Print the checks and write the record, which appears whole or not at all.

    Args:
        name: of the benchmark's module.
        checks: its figures.
        quick: whether this was the smaller form.
        seconds: how long it took.
        settings: what it ran with.
        details: anything else worth keeping, as JSON values.
        results: folder to write to.
        show: print the checks too, not only write them.

    Returns:
        The file written.
    """
    record = Record(
        benchmark=name,
        quick=quick,
        # What a reader would type; where the data lay is nobody's business.
        command=" ".join(
            [
                f"python -m benchmarks.{name}",
                *(["--quick"] if quick else []),
                *([f"--profile {settings['profile']}"] if "profile" in settings else []),
            ]
        ),
        commit=commit(),
        date=today(),
        seconds=round(seconds, 1),
        machine=Machine.here(),
        settings=settings,
        checks=checks,
        details=details or {},
    )
    results.mkdir(parents=True, exist_ok=True)
    path = write_text(record_path(name, quick, results), record.model_dump_json(indent=2) + "\n")
    if show:
        Console(width=None if sys.stdout.isatty() else 140).print(_table(record))
        print(f"written to {path}")
    return path


def today() -> str:
    """The date, in universal time as everything that is recorded."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def commit() -> str:
    """The commit that runs, with a plus where the working tree differs from it."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "--short", "HEAD")
    others = (":(top)", ":(top,exclude)benchmarks/results")  # what benchmarks write does not change what ran
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *others)
    return f"{head}+" if head and changed else head or "unknown"


def _table(record: Record) -> Table:
    table = Table(title=f"{record.benchmark}{' (quick)' if record.quick else ''}, {record.seconds:,.0f} s")
    for heading in ("check", "value", "95 % interval", "target", "met", "n"):
        table.add_column(heading, justify="left" if heading == "check" else "right")
    for check in record.checks:
        interval = "" if check.low is None or check.high is None else f"{check.low:,.4g} – {check.high:,.4g}"
        sign = {">=": "≥", "<=": "≤"}[check.comparison]
        table.add_row(
            check.name,
            "–" if check.value is None else f"{check.value:,.4g} {check.unit}".strip(),
            interval,
            "" if check.target is None else f"{sign} {check.target:,.4g}",
            {True: "yes", False: "no", None: ""}[check.met],
            "" if check.n is None else f"{check.n:,}",
        )
    return table


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
