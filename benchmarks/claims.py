"""Do claims steer what a flow makes?

`python -m benchmarks.claims [--quick] [--profile P] [--set PATH=VALUE] [--model ID]` asks a flow of a profile's
warehouse for an ECG like each validation recording, with and without the claims that steer its rhythms and beats, as
the simulator's ECG of what was drawn and as the flow's. Each is held against these recordings: how far is the share
that satisfies a criterion from theirs, and are beats as varied? A flow that was trained before claims steered gets its
weights here, from training recordings.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.flow_training import newest
from benchmarks.record import RESULTS, Check, arguments, publish
from flows.profiles import load_settings
from models.ecg.measurements import measure
from models.ecg.median_beats import median_beats
from models.ecg.qrs_shape import qrs_shapes
from models.ecg.r_peaks import in_samples, locate_r_peaks
from models.evaluation.delivery import Outcomes, delivery_distance
from models.flow.claims import satisfies
from models.flow.config import SteeringClaim
from models.flow.generator import FlowGenerator
from models.simulator.beat_events import fit_median_beats
from tasks.conditions.condition import ConditionEmbedder, conditions_of
from tasks.conditions.criteria import CLAIMS, RULES, Criterion, expected_of_conditions
from tasks.ecg_sets import EcgSet, read_recordings
from tasks.evaluation.rows.delivery import measured_features, outcomes
from tasks.settings import CohortSettings
from tasks.training.model_folder import condition_embedder, load_config, load_generator
from tasks.training.preparation.flow_inputs import recorded_in, stated_rhythms
from tasks.training.steering_claims import Examples, fitted_claims, steering_criteria
from warehouse.errors import EinthovenError
from warehouse.storage.store import Store

SEED: Final = 1
TRAINING_ROWS, QUICK_ROWS = 4000, 300
RESAMPLES: Final = 100
VARIANTS: Final = {
    "simulator": (0, False),
    "simulator, claims": (0, True),
    "flow": (CohortSettings().sampler_steps, False),
    "flow, claims": (CohortSettings().sampler_steps, True),
}
"""Steps of the sampler, and whether claims steer."""


def main(words: Sequence[str] | None = None, results: Path = RESULTS) -> None:
    """Run the benchmark and write its record.

    Raises:
        EinthovenError: the warehouse holds no such flow.
    """
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--model", help="id of a model; the newest without it")
    given = parser.parse_args(words)
    started = time.monotonic()
    store = Store(load_settings(given.profile, given.set, given.data).warehouse.uri)
    model = newest(store, "model", given.model)
    generator = load_generator(store.path(model)) if model else None
    if model is None or not isinstance(generator, FlowGenerator):
        raise EinthovenError(f"{store.root} holds no flow; train one with --set training.generator=flow")
    behind = {one.kind: one for one in store.manifest(model).lineage.inputs}
    config, knowledge = load_config(store.path(model)), behind["knowledge"]
    embedder = condition_embedder(config, store.read(knowledge, "knowledge") if knowledge.rows else None)
    real, train = (read_recordings(store, behind["recordings"], split) for split in ("validation", "train"))
    train = some(train, QUICK_ROWS if given.quick else TRAINING_ROWS)
    real = some(real, QUICK_ROWS) if given.quick else real
    criteria = steering_criteria(store, knowledge)
    claims = generator.config.claims or claims_of(generator, embedder, config.findings, criteria, train)
    generator.config = generator.config.model_copy(update={"claims": claims})
    found = {name: generated(generator, embedder, config.findings, real, *how) for name, how in VARIANTS.items()}
    checks, shares = judged(criteria, found, real, train, generator)
    publish(
        "claims",
        checks,
        quick=given.quick,
        seconds=time.monotonic() - started,
        settings={"profile": given.profile, "model": model.id, "rows": len(real), "claims": len(claims)},
        details={"shares of textbook rules": shares},
        results=results,
    )


def some(ecgs: EcgSet, count: int) -> EcgSet:
    """So many of the ECGs at random, or all."""
    return ecgs.take(np.random.default_rng(SEED).permutation(len(ecgs))[:count])


def claims_of(
    generator: FlowGenerator,
    embedder: ConditionEmbedder,
    findings: Sequence[str],
    criteria: Sequence[Criterion],
    train: EcgSet,
) -> tuple[SteeringClaim, ...]:
    """What steers, from training recordings, each asked for under its own condition."""
    rate_hz, conditions = generator.config.sampling_rate_hz, conditions_of(train.table, findings=findings)
    patients = torch.from_numpy(np.unique(train.patients, return_inverse=True)[1])
    r_peaks = in_samples(train.r_peaks_s, rate_hz)
    recorded = recorded_in(train.signal, r_peaks, rate_hz, *stated_rhythms(train.table), patients)
    expected = expected_of_conditions(criteria, conditions)
    return fitted_claims(generator, criteria, Examples(recorded, expected, embedder(conditions)[0], expected), SEED)


def generated(
    generator: FlowGenerator,
    embedder: ConditionEmbedder,
    findings: Sequence[str],
    like: EcgSet,
    steps: int,
    steer: bool,
) -> dict[str, Any]:
    """ECGs under the conditions of recordings, seconds that they took, and which draw each is from."""
    conditions = conditions_of(like.table, findings=findings)
    tensors, seeds = embedder(conditions)[0], [SEED * 10**12 + row for row in range(len(like))]
    asked = expected_of_conditions(generator.config.claims, conditions) if steer else None
    started = time.process_time()
    how = CohortSettings().sampling | {"steps": steps, "asked": asked}
    sampled = generator.sampled(tensors, seeds, **how)
    seconds = time.process_time() - started
    return {"signal": sampled.signal.numpy(), "refused": sampled.refused.numpy(), "draws": sampled.draws, "s": seconds}


def judged(
    criteria: Sequence[Criterion],
    found: Mapping[str, Mapping[str, Any]],
    real: EcgSet,
    train: EcgSet,
    generator: FlowGenerator,
) -> tuple[list[Check], dict[str, dict[str, float]]]:
    """Figures of every variant, and the share of each textbook rule among ECGs and among recordings."""
    rate_hz = generator.config.sampling_rate_hz
    of_real, of_train = (outcomes(ecgs, measured_features(ecgs, rate_hz), criteria) for ecgs in (real, train))
    checks, shares = [], {"recordings": of_real.shares(np.ones((1, len(real))))[0]}
    spread = beat_spread(real.signal, in_samples(real.r_peaks_s, rate_hz), generator)
    for name, made in found.items():
        kept = np.flatnonzero(~made["refused"])
        signal = made["signal"][kept]
        r_peaks = locate_r_peaks(signal, rate_hz)
        measured = {**measure(signal, r_peaks, rate_hz), **qrs_shapes(signal, r_peaks, rate_hz)}
        met = satisfies(measured, [one.claim for one in criteria])
        drawn = Outcomes(of_real.asked[kept], met, np.array([f"synthetic {row}" for row in kept], dtype=object))
        shares[name] = drawn.shares(np.ones((1, len(kept))))[0]
        for kind in (RULES, CLAIMS):
            chosen = [place for place, one in enumerate(criteria) if one.kind == kind]
            here, held_out, training = (
                Outcomes(one.asked[:, chosen], one.satisfied[:, chosen], one.patients)
                for one in (drawn, of_real, of_train)
            )
            distance = delivery_distance(here, held_out, training, RESAMPLES, SEED)
            if distance.criteria:
                mean = distance.mean._asdict()
                checks.append(Check(name=f"{name}: delivery distance, {kind}", **mean, n=distance.criteria))
                checks.append(Check(name=f"{name}: the same of training recordings, {kind}", value=distance.among_real))
        beats = float((beat_spread(signal, r_peaks, generator) / spread).mean())
        checks.append(Check(name=f"{name}: spread of beats over that of recordings", value=beats, n=len(kept)))
        checks.append(Check(name=f"{name}: processor time", value=made["s"] / len(met) * 1e3, unit="ms/ECG"))
        if (made["draws"] > 0).any():
            mean_draw = float(made["draws"][made["draws"] > 0].mean())
            checks.append(Check(name=f"{name}: draw that was taken, mean", value=mean_draw))
    return checks, {
        f"{one.statement}: {one.words}": {name: round(float(share[place]), 3) for name, share in shares.items()}
        for place, one in enumerate(criteria)
        if one.kind == RULES and of_real.asked[:, place].any()
    }


def beat_spread(signal: np.ndarray, r_peaks: Sequence[np.ndarray], generator: FlowGenerator) -> np.ndarray:
    """Standard deviation of each coordinate of usual beats, in those of the flow's prior."""
    beats = median_beats(signal, r_peaks, generator.config.sampling_rate_hz)
    coordinates = generator.prior.usual.coordinates(fit_median_beats(beats.beat, beats.rr_s))
    return coordinates.std(dim=0).numpy()


if __name__ == "__main__":
    main()
