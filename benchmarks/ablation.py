"""Does the physics help, does experience, and is the network better than the simulator alone?

`python -m benchmarks.ablation --profile ptbxl-mini --data PATH --warehouse PATH [--quick] [--steps N] [--arms a,b]`
trains every arm with the same autoencoder settings, steps and batch size, generates the same conditions with the same
row seeds, and evaluates each cohort against the same held-out recordings with the same networks. The full form has
every arm and three training and three cohort seeds, the quick one fewer arms (`QUICK_NAMES`) and a single run of each.
Everything is made through the flows and committed in the warehouse: killed or repeated, the same command goes on. With
`--arms`, results stay in the warehouse's folder `_ablation`, so that they never stand for the whole table.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from benchmarks.ablation_arms import (
    ALWAYS,
    ARMS,
    FULL_SEEDS,
    NAMES,
    QUICK,
    QUICK_SEEDS,
    Profile,
    Seeds,
    chosen_arms,
    plan,
)
from benchmarks.ablation_table import SOURCES, Run, drawn_table, summaries, targets
from benchmarks.record import RESULTS, arguments, publish
from flows.console import prepare_environment, quieten_console
from tasks.cluster import ENVIRONMENT
from warehouse.store import Store


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--warehouse", help="warehouse folder (default: $WAREHOUSE_URI, else ./einthoven-warehouse)")
    parser.add_argument("--steps", type=int, help="optimiser steps of every denoiser (training.diffusion.steps)")
    parser.add_argument("--arms", help=f"only some arms, with commas between them: {', '.join(NAMES)}")
    given = parser.parse_args(words)
    arms = chosen_arms(given.arms, given.quick)
    profile = Profile(given.profile, tuple(given.set), given.data, given.warehouse, given.steps, given.quick)
    seeds = QUICK_SEEDS if given.quick else FULL_SEEDS
    settings, started = profile.settings(), time.monotonic()
    runs = make_runs(profile, arms, seeds)
    found = summaries(runs)
    Console(width=None if sys.stdout.isatty() else 60 + 20 * len(found)).print(drawn_table(found, "ablation"))
    publish(
        "ablation",
        targets(runs),
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={"profile": given.profile, **settings.for_digest()},
        details={
            "arms": {arm: ARMS.get(arm, {}) for arm in arms},
            "in_every_arm": {**ALWAYS, **(QUICK if given.quick else {})},
            "seeds": {"training": seeds.training, "cohort": seeds.cohort},
            "intervals": SOURCES,
            "table": {arm: {name: one.model_dump() for name, one in of_arm.items()} for arm, of_arm in found.items()},
            "runs": [run.model_dump() for run in runs],
        },
        results=RESULTS if given.arms is None else Store(settings.warehouse.uri).root / "_ablation",
    )


def make_runs(profile: Profile, arms: Sequence[str], seeds: Seeds) -> list[Run]:
    """Make or find every run, real recordings and the autoencoder's floor in front.

    Raises:
        EinthovenError: a stage failed; what was made before stays.
    """
    # Before anything imports Prefect or PyTorch, which read these once.
    prepare_environment()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from benchmarks.ablation_runs import floor_runs, make, real_run, with_residual_of_simulator, with_training_speeds
    from flows.ingest import ingest_dataset
    from flows.knowledge import build_knowledge_base

    quieten_console()
    say = Console(stderr=True).print
    settings, planned, runs = profile.settings(), plan(arms, seeds), list[Run]()
    # A setting that is wrong in one arm is refused before hours are spent on the others.
    of_run = [profile.settings(one.overrides()) for one in planned]
    try:
        recordings = ingest_dataset(settings)
        knowledge = build_knowledge_base(settings, recordings)
        for number, (one, changed) in enumerate(zip(planned, of_run, strict=True)):
            say(f"[bold]run {number + 1} of {len(planned)}[/]: {one} ({len(planned) - number - 1} left after it)")
            runs.append(make(one, changed, recordings, knowledge))
        with_residual_of_simulator(runs, settings, recordings)
        say("timing a training step of every arm, in turns")
        with_training_speeds(runs, Store(settings.warehouse.uri))
    finally:
        # Workers may still be talking; the last lines are ours.
        if (ray := sys.modules.get("ray")) and ray.is_initialized():
            ray.shutdown()
    return [real_run(runs), *floor_runs(runs), *runs]


if __name__ == "__main__":
    main()
