"""Does the physics help, does experience, and is the network better than the simulator alone?

`python -m benchmarks.ablation --profile ptbxl-mini --data PATH --warehouse PATH [--quick] [--steps N] [--arms a,b]
[--minutes N]` trains every arm with the same autoencoder settings, steps and batch size, generates the same conditions
with the same row seeds, and evaluates each cohort against the same held-out recordings with the same networks. The full
form has three training and three cohort seeds, the quick one fewer arms (`QUICK_NAMES`) and a single run of each.
Killed, stopped by `--minutes` or repeated, the same command goes on: runs in the record are taken over from it, on any
machine, and what else was made is found in the warehouse. To measure afresh, remove both. With `--arms`, the record
stays in the warehouse's folder `_ablation`, so that it never stands for the whole table.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich.console import Console

from benchmarks.ablation_arms import FULL_SEEDS, NAMES, QUICK_SEEDS, Planned, Profile, chosen_arms
from benchmarks.ablation_record import AblationRecord
from benchmarks.ablation_table import Run
from benchmarks.record import RESULTS, arguments, commit
from flows.console import prepare_environment, quieten_console
from tasks.cluster import ENVIRONMENT
from warehouse.storage.store import Store


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark, or go on with it."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--warehouse", help="warehouse folder (default: $WAREHOUSE_URI, else ./einthoven-warehouse)")
    parser.add_argument("--steps", type=int, help="optimiser steps of every denoiser (training.diffusion.steps)")
    parser.add_argument("--arms", help=f"only some arms, with commas between them: {', '.join(NAMES)}")
    parser.add_argument("--minutes", type=float, metavar="N", help="begin no run after N minutes (default: no limit)")
    given = parser.parse_args(words)
    arms = chosen_arms(given.arms, given.quick)
    profile = Profile(given.profile, tuple(given.set), given.data, given.warehouse, given.steps, given.quick)
    results = RESULTS if given.arms is None else Store(profile.settings().warehouse.uri).root / "_ablation"
    record = AblationRecord(profile, arms, QUICK_SEEDS if given.quick else FULL_SEEDS, results)
    runs = make_runs(record, given.minutes)
    if runs:  # a record of something else is not written over by one of nothing
        record.write(runs, show=True)
    if missing := record.missing(runs):
        print(f"{len(missing)} of {len(record.planned)} runs are missing; the same command goes on with {missing[0]}")


def make_runs(record: AblationRecord, minutes: float | None = None) -> dict[Planned, Run]:
    """Take over or make every run, and write the record after each that was made.

    Args:
        minutes: from the start of the call, after which no run is begun; None for no limit.

    Returns:
        The runs that are there: all of them, unless the time was up.

    Raises:
        EinthovenError: a stage failed; what was made before stays.
    """
    # Before anything imports Prefect or PyTorch, which read these once.
    prepare_environment()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from benchmarks.ablation_runs import key_of, make, with_residual_of_simulator, with_training_speeds
    from flows.ingest import ingest_dataset
    from flows.knowledge import build_knowledge_base

    quieten_console()
    say = Console(stderr=True).print
    settings, code = record.settings, commit()
    store = Store(settings.warehouse.uri)
    # A setting that is wrong in one arm is refused before hours are spent on the others.
    settings_of = {one: record.profile.settings(one.overrides()) for one in record.planned}
    try:
        recordings = ingest_dataset(settings)
        knowledge = build_knowledge_base(settings, recordings)
        runs = record.taken_over(
            {one: key_of(one, changed, recordings, knowledge) for one, changed in settings_of.items()}
        )
        for one, changed in settings_of.items():
            if one in runs:
                continue
            if minutes is not None and record.elapsed_s >= 60 * minutes:
                break
            left = len(settings_of) - len(runs) - 1
            say(f"[bold]run {len(runs) + 1} of {len(settings_of)}[/]: {one} ({left} left after it)")
            runs[one] = make(one, changed, recordings, knowledge, code)
            with_residual_of_simulator(runs, settings_of, recordings, store)
            record.write(runs)
        with_training_speeds(runs.values(), store)
    finally:
        # Workers may still be talking; the last lines are ours.
        if (ray := sys.modules.get("ray")) and ray.is_initialized():
            ray.shutdown()
    return runs


if __name__ == "__main__":
    main()
