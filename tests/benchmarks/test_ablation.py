"""The ablation's arithmetic: arms that differ as they say, intervals over seeds, targets seed by seed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy.stats import t

from benchmarks.ablation_arms import (
    ARMS,
    FULL_NAMES,
    FULL_SEEDS,
    NAMES,
    QUICK,
    QUICK_NAMES,
    QUICK_SEEDS,
    SIMULATOR_ALONE,
    Planned,
    Profile,
    Seeds,
    chosen_arms,
    plan,
)
from benchmarks.ablation_runs import figures_of, real_figures_of
from benchmarks.ablation_table import (
    AUTOENCODER_FLOOR,
    COLUMNS,
    DISCRIMINATOR,
    FID,
    REAL,
    TRAINING_SPEED,
    Figure,
    Run,
    drawn_table,
    floor_runs,
    over_seeds,
    paired,
    real_run,
    summaries,
    targets,
    throughput_lost,
    with_references,
)
from flows.profiles import SettingsError
from tasks.settings import Settings

PROFILE = Profile("ptbxl-mini")


def settings_of(arm: str, profile: Profile = PROFILE) -> Settings:
    return profile.settings(Planned(arm, 2, 3).overrides())


def run(arm: str, training: int | None, cohort: int | None, **figures: float) -> Run:
    found = {
        name.replace("_", " "): Figure(value=value, low=value - 1, high=value + 1) for name, value in figures.items()
    }
    return Run(arm=arm, training_seed=training, cohort_seed=cohort, figures=found)


def test_arms_differ_in_physics_and_experience_only() -> None:
    base, base_cohort = settings_of("base").training, settings_of("base").cohort
    assert base.diffusion.physics.weights() == {} and not base.diffusion.physics.phase_channels
    assert not base.diffusion.physics.simulated_ecg
    # Levels are neither physics nor experience, so base draws them too.
    assert base.diffusion.levels and base.generator_stages == ("prior", "denoiser")
    assert not base.diffusion.experience
    euler = settings_of("+L_Euler").training.diffusion
    assert euler.physics.weights() == {"euler": 0.05, "inter_lead": 0.05} and not euler.physics.phase_channels
    phase, simulator = (settings_of(arm).training.diffusion.physics for arm in ("+phase", "+simulator"))
    assert phase.phase_channels and not phase.simulated_ecg
    assert simulator.phase_channels and simulator.simulated_ecg
    assert settings_of("+experience").training.diffusion.experience
    full = settings_of("full").training.diffusion
    assert full.physics == simulator and full.experience
    for arm in ARMS:
        found = settings_of(arm)
        assert found.training.autoencoder == base.autoencoder
        assert (found.training.diffusion.steps, found.training.diffusion.batch_size) == (
            base.diffusion.steps,
            base.diffusion.batch_size,
        )
        assert found.training.seed == 2 and found.cohort.seed == 3 and not found.evaluation.downstream
        assert found.cohort.guidance == base_cohort.guidance


def test_arms_are_different_models() -> None:
    models = {arm: settings_of(arm).training.model_dump_json() for arm in ARMS}
    # The last differs from the full arm in what is generated with the same model.
    assert models.pop("full without denoiser") == models["full"]
    assert len(set(models.values())) == len(models)
    assert settings_of("full without denoiser").cohort.sampler_steps == 0


@pytest.mark.parametrize("quick", [False, True])
def test_arms_are_sampled_with_more_steps_than_the_profile(quick: bool) -> None:
    profile = Profile("ptbxl-mini", quick=quick)
    sampled = {settings_of(arm, profile).cohort.sampler_steps for arm in ARMS if arm != "full without denoiser"}
    assert sampled == {25}


def test_the_command_line_goes_over_the_quick_form() -> None:
    profile = Profile("ptbxl-mini", ("cohort.size=64",), warehouse="some where", steps=7, quick=True)
    found = settings_of("base", profile)
    assert found.training.diffusion.steps == 7 and found.cohort.size == 64
    assert found.training.diffusion.ema_decay == QUICK["training.diffusion.ema_decay"]
    quick = settings_of("base", Profile("ptbxl-mini", quick=True))
    assert found.training.for_autoencoder_digest() == quick.training.for_autoencoder_digest()
    assert found.training.autoencoder.steps == QUICK["training.autoencoder.steps"]
    assert found.warehouse.uri == "some where"


def test_the_command_line_cannot_change_what_arms_and_seeds_set() -> None:
    own = (
        "training.diffusion.physics.phase_channels",
        "training.diffusion.experience",
        "evaluation.downstream",
        "training.seed",
    )
    for path in own:
        with pytest.raises(SettingsError, match=f"--set {path}: arms and seeds of the ablation set it"):
            Profile("ptbxl-mini", (f"{path}=1",)).settings()
    # What one arm alone sets is free in the others.
    steps = Profile("ptbxl-mini", ("cohort.sampler_steps=4",))
    assert settings_of("full", steps).cohort.sampler_steps == 4
    assert settings_of("full without denoiser", steps).cohort.sampler_steps == 0


def test_the_plan_finishes_a_training_seed_before_the_next() -> None:
    runs = plan(NAMES, FULL_SEEDS)
    assert len(runs) == 3 + len(ARMS) * 9 and len(set(runs)) == len(runs)
    assert [one.training_seed for one in runs[:3]] == [None] * 3
    seeds = [one.training_seed for one in runs[3:]]
    assert seeds == sorted(seeds, key=lambda seed: seed or 0)
    assert len(plan(NAMES, QUICK_SEEDS)) == len(NAMES)
    assert str(plan(["base"], Seeds((4,), (5,)))[0]) == "base, training seed 4, cohort seed 5"


def test_arms_are_chosen_by_name() -> None:
    assert chosen_arms(None) == list(FULL_NAMES)
    assert chosen_arms(None, quick=True) == list(QUICK_NAMES)
    assert chosen_arms("full, base") == ["base", "full"]
    for wrong in ("ful", ""):
        with pytest.raises(SettingsError, match=r"--arms.*known: simulator alone, base"):
            chosen_arms(wrong)


def test_an_interval_is_over_training_seeds_of_means_over_cohort_seeds() -> None:
    runs = [run("full", seed, cohort, FID=10.0 * seed + cohort) for seed in (1, 2, 3) for cohort in (1, 2, 3)]
    found = over_seeds(runs, FID)
    assert found is not None and found.value == pytest.approx(22.0) and found.interval == "seeds"
    half = t.ppf(0.975, 2) * 10.0 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((22.0 - half, 22.0 + half))
    assert (found.lowest, found.highest, found.runs) == (11.0, 33.0, 9)


def test_fewer_seeds_give_the_interval_that_they_can() -> None:
    of_cohorts = over_seeds([run("full", 1, cohort, FID=cohort) for cohort in (1, 2, 3)], FID)
    assert of_cohorts is not None and of_cohorts.interval == "cohorts" and of_cohorts.value == 2
    single = over_seeds([run("full", 1, 1, FID=5.0)], FID)
    assert single is not None and (single.low, single.high, single.interval) == (4.0, 6.0, "bootstrap")
    # An autoencoder that all seeds share is no surer for being measured three times.
    shared = over_seeds([run(AUTOENCODER_FLOOR, seed, None, FID=5.0) for seed in (1, 2, 3)], FID)
    assert shared is not None and (shared.low, shared.high) == (4.0, 6.0)
    assert over_seeds([run("full", 1, 1)], FID) is None


def test_arms_are_compared_seed_by_seed() -> None:
    base = [run("base", seed, 1, FID=float(seed)) for seed in (1, 2, 3)]
    full = [run("full", seed, 1, FID=0.5 * seed) for seed in (1, 2, 3)]
    found = paired(full, base, FID, lambda one, two: one / two)
    assert found is not None and (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    against_real = paired(full, [run(REAL, None, None, FID=2.0)], FID, lambda one, two: one / two)
    assert against_real is not None and against_real.value == pytest.approx(0.5)
    alone = [run(SIMULATOR_ALONE, None, cohort, FID=4.0 * cohort) for cohort in (1, 2)]
    of_simulator = paired(full, alone, FID, lambda one, two: one / two)
    assert of_simulator is not None and of_simulator.value == pytest.approx(1.0 / 6)
    assert paired(full, [], FID, lambda one, two: one) is None
    assert paired(full, [run("base", 9, 1, FID=1.0)], FID, lambda one, two: one) is None


def test_a_seed_that_only_one_arm_has_is_not_compared() -> None:
    base = [run("base", seed, cohort, FID=10.0**seed) for seed in (1, 2) for cohort in (1, 2)]
    full = [run("full", 1, 1, FID=5.0)]
    found = paired(full, base, FID, lambda one, two: one / two)
    assert found is not None and found.value == pytest.approx(0.5)
    # A figure that a record holds without a value is as good as missing.
    assert paired(full, [run("base", 1, 1).model_copy(update={"figures": {FID: Figure(value=None)}})], FID, max) is None


def test_training_speeds_are_compared_within_a_timing() -> None:
    def of(arm: str, seed: int, speed: float, timed: str) -> Run:
        figures = {TRAINING_SPEED: Figure(value=speed)}
        return Run(arm=arm, training_seed=seed, cohort_seed=1, figures=figures, timed=timed)

    base = [of("base", 1, 100.0, "Monday, slow"), of("base", 2, 100.0, "Monday, slow"), of("base", 3, 400.0, "fast")]
    full = [of("full", 1, 80.0, "Monday, slow"), of("full", 2, 400.0, "elsewhere"), of("full", 3, 280.0, "fast")]
    found = throughput_lost(full, base)
    assert found is not None and found.value == pytest.approx((0.2 + 0.3) / 2)
    assert throughput_lost(full[1:2], base) is None and throughput_lost([], base) is None


def table_runs(fid: float = 2.0, auc: float = 0.65, clip: float = 0.5) -> list[Run]:
    def of(arm: str, speed: float, **more: float) -> Run:
        found = run(arm, 1, 1, **more)
        found.figures[TRAINING_SPEED] = Figure(value=speed)
        return found

    full = of("full", 80.0, FID=fid, discriminator_AUC=auc, CLIP_score=clip, rCLIP=0.9, Einthoven_residual=0.0)
    full.figures["statement macro AUC over real"] = Figure(value=1.3 * clip + 0.3)
    full.figures["delivery distance, textbook rules"] = Figure(value=0.15)
    full.figures["heart-rate MAE, independent detector, regular rhythms"] = Figure(value=0.8)
    real = run(REAL, None, None, FID=1.0)
    real.figures["delivery distance, textbook rules"] = Figure(value=0.05)
    return [
        real,
        run(SIMULATOR_ALONE, None, 1, FID=3.0, discriminator_AUC=0.9),
        of("base", 100.0, FID=4.0, CLIP_score=0.4),
        of("+L_Euler", 60.0),
        full,
    ]


def test_targets_are_those_of_the_issue() -> None:
    found = {check.name: check for check in targets(table_runs())}
    values = {name: (check.value, check.met) for name, check in found.items() if check.target is not None}
    assert values == {
        "FID, full over base": (0.5, True),
        "FID, full over real against real": (2.0, True),
        "statement macro AUC over real, full": (pytest.approx(0.95), False),
        "delivery distance, textbook rules, full less real": (pytest.approx(0.1), False),
        "delivery distance, kept claims, full less real": (None, None),
        "FID, full over simulator alone": (pytest.approx(2 / 3), True),
        "discriminator AUC, full less simulator alone": (pytest.approx(-0.25), True),
        "heart-rate MAE, independent, regular rhythms, full": (0.8, True),
        "discriminator AUC, full": (0.65, True),
        "Einthoven residual, full": (0.0, True),
        "training throughput lost to physics, +L_Euler": (pytest.approx(0.4), False),
        "training throughput lost to physics, full": (pytest.approx(0.2), True),
    }


def test_a_worse_model_misses_its_targets() -> None:
    found = {check.name: check.met for check in targets(table_runs(fid=4.5, auc=0.95, clip=0.6))}
    missed = {name for name, met in found.items() if met is False}
    assert {"FID, full over base", "FID, full over real against real", "discriminator AUC, full"} <= missed
    assert {"FID, full over simulator alone", "discriminator AUC, full less simulator alone"} <= missed
    assert found["statement macro AUC over real, full"] is True


def test_a_missing_arm_leaves_targets_undecided() -> None:
    found = {check.name: check for check in targets([one for one in table_runs() if one.arm != "base"])}
    assert found["FID, full over base"].value is None and found["FID, full over base"].met is None
    assert found["discriminator AUC, full"].met is True
    for arm in (REAL, SIMULATOR_ALONE, "base", "+L_Euler", "full"):
        assert len(targets([one for one in table_runs() if one.arm == arm])) == len(found)
    assert all(check.value is None for check in targets([]))


def evaluation_row(metric: str, subject: str, value: float | None, reference: float | None = None) -> dict[str, Any]:
    unknown = dict.fromkeys(("condition", "low", "high"))
    return {"metric": metric, "subject": subject, "value": value, "reference": reference, **unknown}


def test_rows_of_an_evaluation_become_the_arm_the_real_ecgs_and_the_floor() -> None:
    rows = [
        evaluation_row("FID", "synthetic", 3.0, 1.0),
        evaluation_row("FID", "reconstruction", 2.0, 1.0),
        evaluation_row("FID", "real training recordings", 1.0),
        evaluation_row("discriminator AUC", "synthetic", 0.9, 0.55),
        evaluation_row("heart-rate MAE", "synthetic", 2.5),
        evaluation_row("recall", "synthetic", None),
    ]
    assert {name: figure.value for name, figure in figures_of(rows).items()} == {
        FID: 3.0,
        DISCRIMINATOR: 0.9,
        "heart-rate MAE": 2.5,
    }
    assert {name: figure.value for name, figure in real_figures_of(rows).items()} == {FID: 1.0, DISCRIMINATOR: 0.55}
    assert {name: figure.value for name, figure in figures_of(rows, "reconstruction").items()} == {FID: 2.0}


def test_real_ecgs_and_the_floor_stand_before_the_runs() -> None:
    def of(arm: str, seed: int | None, floor: dict[str, Figure], **real: float) -> Run:
        on_real = {name: Figure(value=value) for name, value in real.items()}
        return Run(arm=arm, training_seed=seed, cohort_seed=2, real=on_real, floor=floor)

    runs = [
        of(SIMULATOR_ALONE, None, {}, FID=1.0),
        of("base", 1, {FID: Figure(value=2.0)}, FID=1.5, recall=0.5),
        of("full", 1, {FID: Figure(value=2.5)}),
        of("base", 2, {FID: Figure(value=3.0)}),
    ]
    real, floor = real_run(runs), floor_runs(runs)
    assert {name: figure.value for name, figure in real.figures.items()} == {FID: 1.0, "recall": 0.5}
    assert [(one.training_seed, one.figures[FID].value) for one in floor] == [(1, 2.0), (2, 3.0)]
    assert with_references(runs) == [real, *floor, *runs]
    # What is derived is derived from what a record keeps of a run.
    assert with_references(Run.model_validate_json(run.model_dump_json()) for run in runs) == [real, *floor, *runs]
    assert with_references([]) == [Run(arm=REAL, training_seed=None, cohort_seed=None)]


def test_the_table_has_a_column_per_arm_and_names_its_intervals() -> None:
    found = summaries(table_runs())
    assert list(found) == [REAL, SIMULATOR_ALONE, "base", "+L_Euler", "full"]
    table = drawn_table(found, "ablation")
    assert [column.header for column in table.columns] == ["", *found]
    assert table.row_count == len(COLUMNS) + 2
    assert "bootstrap" in str(table.caption)
