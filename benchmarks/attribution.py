"""Which stage of the generator loses realism?

`python -m benchmarks.attribution --profile ptbxl-mini --data PATH [--model ID] [--quick]` takes recordings of the
training split apart. A flow generates from their own rhythm and beats, then from drawn beats and from drawn rhythms;
beside it is the simulator's ECG of their own rhythm and beats, from which it starts. Diffusion in the latent
reconstructs them with detail, then generates with their own rhythm, beat and levels, with drawn levels, drawn beats and
drawn rhythms. Last are the rows of a cohort. Every stage is held against the validation split by all discriminators and
by the distributions of intervals, beside the recordings themselves, so the difference of two neighbours is what one
stage loses. The stage that adds most to d′, the discriminators' mean detectability, is named. Rows whose beats the
model refuses to draw are left out of a stage.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from scipy.stats import norm

from benchmarks.attribution_stages import DiffusionStages, Recordings, Stage, seeds_of
from benchmarks.flow_stages import FlowStages
from benchmarks.record import Check, arguments, publish
from benchmarks.sampling import Trained, load_trained
from flows.console import prepare_environment, quieten_console
from flows.profiles import load_settings
from models.evaluation.discriminators import FEWEST
from models.evaluation.interval_distances import compared_intervals
from models.evaluation.metrics import Estimate
from models.flow.generator import FlowGenerator
from tasks.conditions.cohort_design import group_conditions
from tasks.ecg_sets import EcgSet, read_recordings
from tasks.evaluation.rows.discriminators import DISCRIMINATORS, told_apart
from tasks.evaluation.rows.intervals import INTERVALS
from tasks.evaluation.rows.reconstruction import remeasured
from tasks.generation.task import DESIGN_COLUMNS
from tasks.settings import EvaluationSettings, Settings
from tasks.training.preparation.conditions import GROUP_PATIENTS
from tasks.training.preparation.flow_inputs import stated_rhythms
from warehouse.errors import EinthovenError

ROWS, QUICK_ROWS = 1500, 300
RECORDED = "recordings themselves"
SATURATED = 0.999
"""Areas beyond it say no more than that everything is told apart."""


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--model", help="id of a model in the warehouse; by default the profile's")
    given = parser.parse_args(words)
    prepare_environment()
    quieten_console()
    settings = load_settings(given.profile, given.set, given.data)
    started, say = time.monotonic(), Console(stderr=True).print
    rows = QUICK_ROWS if given.quick else ROWS
    trained = load_trained(settings, given.model, rows)
    real, own, chosen = sets_to_compare(trained, rows, settings.evaluation.seed)
    rate_hz = trained.generator.config.sampling_rate_hz
    recorded: Stage = (RECORDED, lambda: own.signal)
    found: dict[str, dict[str, tuple[Estimate, int]]] = {}
    parts = chain(trained, own, chosen, settings)
    in_chain = [recorded, *parts.stages()]
    for name, make in (*in_chain, *parts.beside()):
        say(f"{name}: {len(own)} ECGs")
        made = make()
        kept = np.flatnonzero(np.isfinite(made).all(axis=(1, 2)))
        found[name] = measured(real, remeasured(own.take(kept), made[kept], rate_hz), rate_hz, settings.evaluation)
    added = added_detectability({name: found[name] for name, _ in in_chain})
    worst = max(added, key=lambda name: added[name])
    say(f"most realism is lost by [bold]{worst}[/]: d′ {added[worst]:+.2f}")
    units = {f"{name} distribution distance": unit for name, unit in INTERVALS.values()}
    checks = [
        Check(name=f"{stage}: {metric}", **estimate._asdict(), unit=units.get(metric, ""), n=n, seeds=[1])
        if np.isfinite(estimate.value)
        else Check(name=f"{stage}: {metric}", value=None, n=n, seeds=[1])
        for stage, of_stage in found.items()
        for metric, (estimate, n) in of_stage.items()
    ]
    checks += [
        Check(name=f"{stage}: d′ added", value=value, n=2 * len(own), seeds=[1]) for stage, value in added.items()
    ]
    publish(
        "attribution",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={
            "profile": given.profile,
            "model": given.model or "the profile's",
            "rows": len(own),
            "split": "validation",
        },
        details={"stage_that_loses_most": worst},
    )


def sets_to_compare(trained: Trained, rows: int, seed: int) -> tuple[EcgSet, EcgSet, np.ndarray]:
    """Validation recordings, as many training recordings of at least two beats, and which of them these are."""
    real, train = (read_recordings(trained.store, trained.recordings, split) for split in ("validation", "train"))
    usable = np.flatnonzero([len(each) >= 2 for each in train.r_peaks_s])
    rng, count = np.random.default_rng(seed), min(rows, len(real), len(usable))
    if count < FEWEST:
        raise EinthovenError(
            f"attribution needs {FEWEST} validation and {FEWEST} training recordings with two beats, got "
            f"{len(real)} and {len(usable)}; ingest more"
        )
    chosen = np.sort(rng.choice(usable, count, replace=False))
    return real.take(rng.choice(len(real), count, replace=False)), train.take(chosen), chosen


def chain(trained: Trained, own: EcgSet, chosen: np.ndarray, settings: Settings) -> DiffusionStages | FlowStages:
    """The model's stages for these recordings, under the conditions that training showed them with."""
    known = trained.store.read(trained.recordings, "recordings", DESIGN_COLUMNS)
    members = known.filter(pc.equal(known["split"], "train"))
    asked = group_conditions(members.take(pa.array(chosen)), members, GROUP_PATIENTS, trained.statements)
    condition, _ = trained.embedder(asked)
    recordings = Recordings(own.signal, own.r_peaks_s, condition, seeds_of(len(own), settings.cohort.seed))
    cohort = trained.condition[range(len(own))], trained.seeds[: len(own)]
    sampling = settings.cohort.sampling
    if isinstance(trained.generator, FlowGenerator):
        return FlowStages(trained.generator, recordings, *stated_rhythms(own.table), cohort, sampling)
    return DiffusionStages(trained.generator, recordings, cohort, sampling)


def measured(real: EcgSet, ecgs: EcgSet, rate_hz: int, settings: EvaluationSettings) -> dict[str, tuple[Estimate, int]]:
    """Every discriminator and every interval's distance from real recordings: metric to estimate and n."""
    found = {metric: told_apart(real, ecgs, judge, rate_hz, settings) for metric, judge in DISCRIMINATORS.items()}
    for column, (name, _) in INTERVALS.items():
        first, second = ((each.number(column), each.patients) for each in (real, ecgs))
        estimate, _, n = compared_intervals(first, second, (), settings.bootstrap_samples, settings.seed)
        found[f"{name} distribution distance"] = estimate, n
    return found


def added_detectability(found: Mapping[str, Mapping[str, tuple[Estimate, int]]]) -> dict[str, float]:
    """How much each stage adds to the discriminators' mean d′ = √2 Φ⁻¹(AUC) over the stage before it.

    d′ is the distance, in standard deviations, of two normal distributions with this area under their ROC curve (Green
    and Swets, Signal Detection Theory, 1966). Unlike areas, distances do not shrink where they are large.

    Args:
        found: stage to metric to estimate and n, in the order of the stages, recordings themselves first.
    """
    limits = 1 - SATURATED, SATURATED
    mean = {
        name: float(np.mean([np.sqrt(2) * norm.ppf(np.clip(each[one][0].value, *limits)) for one in DISCRIMINATORS]))
        for name, each in found.items()
    }
    names = list(mean)
    return {name: mean[name] - mean[before] for before, name in itertools.pairwise(names)}


if __name__ == "__main__":
    main()
