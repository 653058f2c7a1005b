"""Which synthetic ECGs to learn from: cohort, number and filter, compared on fold 9 and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from benchmarks.augmentation.comparison import MadeEcgs, Supply
from benchmarks.augmentation.jobs import Jobs
from benchmarks.augmentation.judge import Judge
from benchmarks.augmentation.labelling import Labelling
from benchmarks.augmentation.network import Optimisation
from benchmarks.augmentation.plan import SYNTHETIC_ECGS, Plan
from benchmarks.augmentation.recipes import HALF
from benchmarks.augmentation.runs import Run

OPTIMISATION: Final = Optimisation(0.003, 400)
"""Of all trainings that choose among synthetic ECGs."""


def choose_made(
    cohorts: Mapping[str, tuple[MadeEcgs, int]],
    supply: Supply,
    labelling: Labelling,
    plan: Plan,
    judge: Judge,
    jobs: Jobs,
    shape: Mapping[str, int],
) -> tuple[MadeEcgs, list[dict[str, Any]]]:
    """One question after the other: which cohort, how many of its ECGs, filtered or not.

    Args:
        cohorts: how each is named (by its trait guidance, say) to its ECGs and their number; the first is the release.
        supply: real ECGs; what is made in it is not used.
        plan: share, seeds and sizes to compare at; without sizes, only cohorts are compared.

    Returns:
        The choice, and a row per candidate.
    """
    rows: list[dict[str, Any]] = []

    def best(question: str, candidates: Mapping[str, MadeEcgs]) -> MadeEcgs:
        if len(candidates) == 1:
            return next(iter(candidates.values()))
        runs = {name: _runs(made, supply, labelling, plan, shape) for name, made in candidates.items()}
        places = {
            run: replace(supply, made={None: candidates[name]}).places(run.share, run.draw)
            for name, of_candidate in runs.items()
            for run in of_candidate
        }
        jobs.tune(places)
        found = {name: judge.estimate(each, plan.bootstrap_samples) for name, each in runs.items()}
        chosen = max(found, key=lambda name: found[name].value)
        rows.extend(
            {
                "question": question,
                "candidate": name,
                "value": round(one.value, 5),
                "low": round(one.low, 5),
                "high": round(one.high, 5),
                "chosen": name == chosen,
                "trainings": len(runs[name]),
                "recordings": len(judge.validation),
            }
            for name, one in found.items()
        )
        return candidates[chosen]

    usual = {name: replace(made, size=min(SYNTHETIC_ECGS, count)) for name, (made, count) in cohorts.items()}
    made = best("cohort", usual)
    count = next(number for one, number in cohorts.values() if one.synthetic == made.synthetic)
    if not plan.sizes:
        return made, rows
    sizes = sorted({size for size in plan.sizes if size < count} | {min(count, max(plan.sizes))})
    made = best("synthetic ECGs", {f"{size:,}": replace(made, size=size) for size in sizes})
    return best("filter by agreement", {"no": made, "yes": replace(made, filtered=True)}), rows


def _runs(made: MadeEcgs, supply: Supply, labelling: Labelling, plan: Plan, shape: Mapping[str, int]) -> Sequence[Run]:
    return [
        Run(
            regime=supply.regime,
            labelling=labelling,
            classifier="network",
            recipe=HALF,
            share=plan.choice_share,
            draw=seed,
            seed=seed,
            learning_rate=OPTIMISATION.learning_rate,
            steps=OPTIMISATION.steps,
            **shape,
            recordings=supply.recordings,
            made=made.synthetic,
            size=made.size,
            filtered=made.filtered,
            purpose="tune",
        )
        for seed in plan.choice_seeds
    ]
