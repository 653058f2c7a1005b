"""What the fidelity rows of an evaluation say, in one plain sentence each, for report and dataset card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Row = Mapping[str, Any]
DISCRIMINATORS: Final = {
    "convolutional discriminator AUC": "The convolutional discriminator, which reads raw crops of 2.5 s,",
    "median-beat discriminator AUC": "The discriminator of median beats",
    "discriminator AUC": "The linear discriminator, which reads spectra and measurements,",
}
RATIOS: Final = {
    "FID": "In the features of the reference classifier",
    "Fréchet distance of measurements": "In what is measured on an ECG (intervals, axis, ST, T and R amplitudes)",
}
COPIES: Final = "nearer to training than the nearest 1 % held out"
INTERVALS: Final = ("PR", "QRS", "QTc", "heart rate")


def fidelity_verdicts(rows: Sequence[Row], descriptions: Mapping[str, str]) -> list[str]:
    """Sentences about discriminators, distances, intervals within conditions, and copies of training recordings.

    Args:
        rows: of an evaluation; metrics that it does not hold are left out, one without a value is said to be missing.
        descriptions: statement code to words.
    """
    of_cohort = {row["metric"]: row for row in rows if row["subject"] == "synthetic" and row["condition"] is None}
    said = [_discriminator(words, of_cohort[metric]) for metric, words in DISCRIMINATORS.items() if metric in of_cohort]
    for name, words in RATIOS.items():
        if row := of_cohort.get(f"{name}, floor-corrected, generated / real"):
            said.append(_ratio(words, row))
    said += _intervals(rows, descriptions)
    if row := of_cohort.get(COPIES):
        said.append(_copies(row))
    return said


def _discriminator(words: str, row: Row) -> str:
    if row["value"] is None:
        return f"{words} could not be trained: {row['flag']}."
    chance = max(0.5, row["reference"] or 0.5)
    tells = row["low"] is not None and row["low"] > chance
    beside = "" if row["reference"] is None else f", real against real {row['reference']:.2f}"
    verb = "tells synthetic from real ECGs" if tells else "does not tell synthetic from real ECGs"
    return f"{words} {verb}: AUC {row['value']:.2f}{_range(row, '.2f')}{beside}."


def _ratio(words: str, row: Row) -> str:
    if row["value"] is None:
        return f"{words}, the floor-corrected distance has no ratio: {row['flag']}."
    caution = f" ({row['flag']})" if row["flag"] else ""
    return (
        f"{words}, synthetic ECGs are {row['value']:.2g}{_range(row, '.2g')} times as far from held-out recordings as "
        f"other real recordings are, what finite samples cost taken off{caution}."
    )


def _intervals(rows: Sequence[Row], descriptions: Mapping[str, str]) -> Iterator[str]:
    """Per interval, the condition in which synthetic ECGs are farthest beyond what real recordings differ by."""
    for name in INTERVALS:
        known = [
            row
            for row in rows
            if row["metric"] == f"{name} distribution distance"
            and row["condition"] is not None
            and None not in (row["value"], row["reference"])
        ]
        if known:
            worst = max(known, key=lambda row: row["value"] - row["reference"])
            code, unit = str(worst["condition"]), worst["unit"]
            yield (
                f"{name} within conditions is farthest from real recordings in {descriptions.get(code, code)}: "
                f"{worst['value']:.0f} {unit}{_range(worst, '.0f')}, real against real {worst['reference']:.0f} {unit}."
            )


def _copies(row: Row) -> str:
    if row["value"] is None:
        return f"Whether training recordings were copied could not be measured: {row['flag']}."
    found = "more than chance, a sign of copies" if row["low"] > row["reference"] else "no sign of copies"
    return (
        f"{row['value']:.1%}{_range(row, '.1%')} of synthetic ECGs are nearer to a training recording than the nearest "
        f"1 % of held-out recordings are: {found}."
    )


def _range(row: Row, digits: str) -> str:
    return "" if row["low"] is None or row["high"] is None else f" ({row['low']:{digits}}–{row['high']:{digits}})"
