"""The targets, from the rows: each with its interval, and no value where the rows are not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.augmentation.labelling import SUPERCLASS_GROUP
from benchmarks.augmentation.recipes import REAL_ONLY, SYNTHETIC_ONLY
from benchmarks.record import Check

POINTS: Final = 100.0
GAINS: Final = ((0.003, 4.7), (0.01, 4.7), (0.03, 4.7), (0.1, 1.5))
"""Share of real patients, and points of macro AUC over the best classical recipe that are wanted there."""
LEAST_AT_ALL: Final = -0.5
"""Points that the lower bound at all patients may not fall below."""
IMBALANCED_GAIN: Final = 5.0
SYNTHETIC_RATIO: Final = 0.96
PUBLISHED: Final = 0.928
"""Macro AUC of superclasses of xresnet1d101 on fold 10 (Strodthoff et al., IEEE JBHI 25:1519-1528, 2021)."""
NEAR: Final = 0.01
Row = dict[str, Any]


def checks(rows: Sequence[Row]) -> list[Check]:
    """All targets of the regime `release consumer`, and the same figures without target of self-augmentation."""
    main = [
        row
        for row in rows
        if row["set"] == "test"
        and row["labels"] == SUPERCLASS_GROUP
        and row["metric"] == "macro AUC"
        and row["classifier"] == "network"
    ]
    return [*_real(main), *_gains(main), *_simulator(main), *_synthetic_only(main), *_imbalanced(rows), *_own(main)]


def best_synthetic(rows: Sequence[Row]) -> Row | None:
    """The row of the synthetic recipe that fold 9 prefers."""
    candidates = [row for row in rows if row["family"] == "synthetic" and row["fold_9"] is not None]
    return max(candidates, key=lambda row: row["fold_9"]) if candidates else None


def _of(rows: Sequence[Row], regime: str, share: float) -> list[Row]:
    return [row for row in rows if row["regime"] == regime and row["share"] == share]


def _real(rows: Sequence[Row]) -> list[Check]:
    found = [row for row in _of(rows, "release consumer", 1.0) if row["recipe"] == REAL_ONLY]
    name = f"real only, 100 %: macro AUC of superclasses (published: {PUBLISHED})"
    return [_check(name, row, "", target=PUBLISHED - NEAR) for row in found]


def _gains(rows: Sequence[Row]) -> list[Check]:
    found = []
    for share, target in GAINS:
        row = best_synthetic(_of(rows, "release consumer", share))
        if row is None or row.get("gain_value") is None:
            continue
        name = f"release consumer, {share:.1%} real: {row['recipe']} − {row['best_classical']}, macro AUC"
        found.append(_check(name, row, "gain", target, POINTS))
        if target == GAINS[0][1]:
            found.append(_lower_bound(name, row, 0.0))
    row = best_synthetic(_of(rows, "release consumer", 1.0))
    if row is not None and row.get("gain_value") is not None:
        name = f"release consumer, 100 % real: {row['recipe']} − {row['best_classical']}, macro AUC"
        found += [_check(name, row, "gain", None, POINTS), _lower_bound(name, row, LEAST_AT_ALL)]
    return found


def _simulator(rows: Sequence[Row]) -> list[Check]:
    found = []
    for share in sorted({row["share"] for row in rows}):
        row = best_synthetic(_of(rows, "release consumer", share))
        if row is not None and row.get("gain_over_simulator_value") is not None:
            name = (
                f"release consumer, {share:.1%} real: {row['recipe']} − best recipe with the simulator alone, macro AUC"
            )
            found.append(_check(name, row, "gain_over_simulator", 0.0, POINTS))
    return found


def _synthetic_only(rows: Sequence[Row]) -> list[Check]:
    all_real = {row["recipe"]: row for row in _of(rows, "release consumer", 1.0)}
    if not {REAL_ONLY, SYNTHETIC_ONLY} <= all_real.keys():
        return []
    synthetic, real = all_real[SYNTHETIC_ONLY], all_real[REAL_ONLY]
    name = f"synthetic only, {synthetic['made_ecgs']:,} labelled ECGs, over real only at 100 %: ratio of macro AUC"
    if synthetic["value"] is None or not real["value"]:
        return []
    value = synthetic["value"] / real["value"]
    return [Check(name=name, value=round(value, 4), target=SYNTHETIC_RATIO, n=synthetic["n"], seeds=synthetic["seeds"])]


def _imbalanced(rows: Sequence[Row]) -> list[Check]:
    found = []
    two_sided = [row for row in rows if row["labels"] == row["task"] and row["metric"] == "macro F1"]
    for task in dict.fromkeys(row["task"] for row in two_sided):
        of_task = [row for row in two_sided if row["task"] == task and row["regime"] == "release consumer"]
        row = best_synthetic(of_task)
        if row is not None and row.get("gain_value") is not None:
            name = f"{task}: {row['recipe']} − {row['best_classical']}, F1"
            found.append(_check(name, row, "gain", IMBALANCED_GAIN, POINTS))
    return found


def _own(rows: Sequence[Row]) -> list[Check]:
    found = []
    for share in sorted({row["share"] for row in rows if row["regime"] == "self-augmentation"}):
        row = best_synthetic(_of(rows, "self-augmentation", share))
        if row is not None and row.get("gain_value") is not None:
            name = f"self-augmentation, {share:.1%} real: {row['recipe']} − {row['best_classical']}, macro AUC"
            found.append(_check(name, row, "gain", None, POINTS))
    return found


def _check(name: str, row: Row, prefix: str, target: float | None, factor: float = 1.0) -> Check:
    value, low, high = (
        _scaled(row.get(f"{prefix}_{end}" if prefix else end), factor) for end in ("value", "low", "high")
    )
    unit = "points" if factor == POINTS else ""
    return Check(name=name, value=value, low=low, high=high, unit=unit, target=target, n=row["n"], seeds=row["seeds"])


def _lower_bound(name: str, row: Row, target: float) -> Check:
    value = _scaled(row.get("gain_low"), POINTS)
    return Check(
        name=f"{name}, lower end of the interval",
        value=value,
        unit="points",
        target=target,
        n=row["n"],
        seeds=row["seeds"],
    )


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else round(factor * value, 4)
