"""Do synthetic ECGs help a classifier of real ones, beyond what augmentation does without them?

`python -m benchmarks.augmentation --profile ptbxl --data PATH --warehouse PATH (--cohort ID | --release FOLDER)
[--quick] [--self-augmentation] [--cinc2021 PATH] [--ludb PATH] [--minutes N] [--gpu]` trains classifiers on shares of
the real training patients, with and without synthetic ECGs, and reports on fold 10. Every choice is made on fold 9.
Killed, stopped by `--minutes` or repeated, the same command goes on: a training whose result is in the warehouse's
folder `_augmentation` is not made again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.augmentation.plan import FULL, QUICK, Plan
from benchmarks.record import RESULTS, arguments, publish
from flows.console import prepare_environment, quieten_console
from flows.profiles import load_settings
from tasks.cluster import ENVIRONMENT
from tasks.settings import Settings

NAME = "augmentation"


def main(words: Sequence[str] | None = None, plan: Plan | None = None, results: Path = RESULTS) -> None:
    """Run the benchmark, or go on with it.

    Args:
        words: of the command line.
        plan: what to train, in place of the full or the quick form.
        results: folder of the record.
    """
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--warehouse", help="warehouse folder (default: $WAREHOUSE_URI, else ./einthoven-warehouse)")
    parser.add_argument(
        "--recordings", metavar="ID", help="ingested recordings (default: those of the profile's source)"
    )
    parser.add_argument(
        "--cohort", action="append", default=[], metavar="ID", help="synthetic ECGs; of several, fold 9 chooses one"
    )
    parser.add_argument(
        "--release", action="append", default=[], type=Path, metavar="FOLDER", help="the same, released"
    )
    parser.add_argument("--self-augmentation", action="store_true", help="also train generators on the share alone")
    parser.add_argument("--cinc2021", type=Path, metavar="PATH", help="recordings of other hospitals: CinC 2021")
    parser.add_argument("--ludb", type=Path, metavar="PATH", help="recordings of other hospitals: LUDB")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin no training after N minutes")
    parser.add_argument("--gpu", action="store_true", help="train the networks on a GPU")
    given = parser.parse_args(words)
    if given.warehouse:
        given.set.append(f"warehouse.uri={given.warehouse}")
    # Before anything imports Prefect or PyTorch, which read these once.
    prepare_environment()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    quieten_console()
    settings = load_settings(given.profile, given.set, given.data)
    started = time.monotonic()
    from benchmarks.augmentation.experiment import run_experiment
    from benchmarks.augmentation.jobs import TimeUpError

    chosen = plan or (QUICK if given.quick else FULL)
    try:
        found = run_experiment(settings, chosen, given)
    except TimeUpError:
        print("the time is up; the same command goes on from here", file=sys.stderr)
        return
    finally:
        if (ray := sys.modules.get("ray")) and ray.is_initialized():
            ray.shutdown()
    publish(
        NAME,
        found.checks,
        quick=given.quick,
        # Of all calls that made what is reported: each training has one core.
        seconds=max(found.training_seconds / len(os.sched_getaffinity(0)), time.monotonic() - started),
        settings=_settings(given.profile, settings, chosen),
        details=found.details,
        results=results,
    )


def _settings(profile: str, settings: Settings, plan: Plan) -> dict[str, Any]:
    return {"profile": profile, "plan": asdict(plan), "cohort": settings.cohort.for_digest()}


if __name__ == "__main__":
    main()
