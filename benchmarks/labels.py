"""Are a cohort's labels complete, and as frequent as in the recordings?

`python -m benchmarks.labels --data PATH` designs cohorts for the training folds of PTB-XL with 5 and with 10 patients a
group (`--quick`: with 10), without ingesting a waveform, and compares what they ask for with what is there: positives
of each superclass whose label is lost, ECGs of several superclasses, statements that are never asked for, and what is
given up instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from benchmarks.record import Check, arguments, publish
from tasks.conditions.cohort_design import CohortDesign, design_cohort
from tasks.conditions.patient_groups import AGE, SEX
from tasks.settings import CohortSettings
from warehouse.errors import SourceError
from warehouse.sources.registry import open_source
from warehouse.sources.source import Source

MIN_PATIENTS: Final = (5, 10)
LAST_TRAINING_FOLD: Final = 8
FREQUENT: Final = 30
"""Recordings from which a statement counts as frequent."""
COUNTED: Final = 20
"""Recordings that a statement needs to be listed in the record."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure and record."""
    chosen = arguments(__doc__.splitlines()[0]).parse_args(words)
    if chosen.data is None:
        raise SystemExit("give the folder of PTB-XL with --data")
    started = time.monotonic()
    try:
        source = open_source("ptbxl", chosen.data)
        training = training_labels(source)
    except SourceError as error:
        raise SystemExit(str(error)) from None
    checks, statements = [], {}
    for patients in MIN_PATIENTS[-1:] if chosen.quick else MIN_PATIENTS:
        begun = time.monotonic()
        design = design_cohort(training, CohortSettings(min_patients=patients), source.statements())
        seconds = time.monotonic() - begun
        checks += [*labels_checks(design, patients), Check(name=f"k = {patients}: design", value=seconds, unit="s")]
        statements[str(patients)] = {
            code: {"real": round(share.real, 5), "asked": round(share.asked, 5)}
            for code, share in design.facts.statements.items()
            if share.real * training.num_rows >= COUNTED
        }
    details = {"statements": statements}
    seconds = time.monotonic() - started
    publish("labels", checks, quick=chosen.quick, seconds=seconds, settings={}, details=details)


def training_labels(source: Source) -> pa.Table:
    """What a cohort's design reads of the training folds; heart rates, which are measured, are left out."""
    records = [one for one in source.records() if (one.strat_fold or 0) <= LAST_TRAINING_FOLD]
    return pa.table(
        {
            "patient_key": [one.patient for one in records],
            "statements": [
                [{"code": code, "likelihood": percent} for code, percent in one.statements] for one in records
            ],
            "sex": pa.array([one.sex for one in records], pa.string()),
            "age_years": pa.array([one.age_years for one in records], pa.float32()),
            "heart_rate_bpm": pa.nulls(len(records), pa.float32()),
            "coded_views": [
                [{"view": view, "codes": list(codes)} for view, codes in one.coded_views] for one in records
            ],
            "text": [one.text for one in records],
        }
    )


def labels_checks(design: CohortDesign, patients: int) -> Iterator[Check]:
    """The figures of one design."""
    facts, k = design.facts, f"k = {patients}: "
    n = facts.training_recordings
    for name, share in facts.lost_positives.items():
        yield Check(name=f"{k}{name} positives whose label is lost", value=share, target=0.0, comparison="<=", n=n)
    yield Check(name=f"{k}recordings left out", value=facts.left_out, n=n)
    several = facts.several_superclasses
    yield Check(name=f"{k}ECGs of several superclasses, real", value=several.real, n=n)
    off = abs(several.asked - several.real)
    yield Check(name=f"{k}ECGs of several superclasses, asked", value=several.asked, n=n)
    yield Check(name=f"{k}… distance from real", value=off, target=0.01, comparison="<=", n=n)
    shares = facts.statements.values()
    frequent = [one for one in shares if one.real * n >= FREQUENT]
    yield Check(name=f"{k}statements never asked for", value=sum(one.asked == 0 for one in shares), n=len(shares))
    yield Check(
        name=f"{k}frequent statements asked for less than 0.9 times as often",
        value=sum(one.asked < 0.9 * one.real for one in frequent),
        n=len(frequent),
    )
    total = sum(group.weight for group in design.groups)
    for kind in (SEX, AGE):
        having = sum(group.weight for group in design.groups if any(trait[0] == kind for trait in group.traits))
        yield Check(name=f"{k}share of rows that ask for {kind}", value=having / total, n=n)
    for kind, recordings in facts.given_up.items():
        yield Check(name=f"{k}share of recordings that give up {kind}", value=recordings / n, n=n)


if __name__ == "__main__":
    main()
