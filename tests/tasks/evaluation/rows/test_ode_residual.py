"""The ODE residual is small for what solves the fitted equation, large for noise, and knows each ECG's class."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.leads import INDEPENDENT_LEADS
from models.simulator.beat_equation import BeatEquation, WaveFit
from models.simulator.ecgsyn import gaussian_waves
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.ode_residual import FittedEquation, load_equation, residual_rows, residual_with
from tasks.settings import EvaluationSettings
from tasks.training.data.simulator_classes import known_wave_classes
from tasks.training.model_folder import load_config, save_config
from tests.models.synthetic_hearts import RATE_HZ
from tests.tasks.clinic import STATEMENTS, cohort_table, put_model, put_recordings, recordings_table
from warehouse.storage.store import Store

SETTINGS = EvaluationSettings(bootstrap_samples=20)
CLASSES = ["all", "HYP", "NORM"]
WAVES = torch.tensor([[0.15, -1.0, 0.2], [1.0, 0.0, 0.13], [-0.2, 0.22, 0.13], [0.3, 1.6, 0.35]])
"""P, R, S and T: amplitude in mV, centre and width in rad; smooth enough for 100 Hz."""
SIZE = {"all": 0.7, "HYP": 2.0, "NORM": 1.0}
GAIN = torch.linspace(0.6, 1.3, len(INDEPENDENT_LEADS))


def of_class(name: str) -> torch.Tensor:
    """(8, waves, 3) of a class: NORM's waves, larger or smaller, with a gain per lead."""
    waves = WAVES.repeat(len(INDEPENDENT_LEADS), 1, 1)
    waves[..., 0] *= SIZE[name] * GAIN[:, None]
    return waves


@pytest.fixture(scope="module")
def fitted() -> FittedEquation:
    omega = torch.full((len(CLASSES),), 2 * math.pi)
    fit = WaveFit(torch.stack([of_class(name) for name in CLASSES]), omega, torch.ones(len(CLASSES), 8))
    return FittedEquation(BeatEquation(fit), CLASSES, STATEMENTS)


def solutions(name: str, count: int = 6, noise_mv: float = 0.0) -> np.ndarray:
    """Closed-form solutions at 60 bpm, the rate of the fit, each at another phase."""
    time = torch.arange(1000) / RATE_HZ
    phase = 2 * math.pi * (time[None] - 0.07 * torch.arange(count)[:, None] - 0.4)
    amplitude, centre, width = of_class(name).unbind(dim=-1)
    signal = gaussian_waves(phase[:, None], amplitude, centre, width).numpy()
    return (signal + np.random.default_rng(1).normal(0, noise_mv, signal.shape)).astype(np.float32)


def ecg_set(signal: np.ndarray, statement: str) -> EcgSet:
    return EcgSet(cohort_table(signal, [[statement]] * len(signal)), signal, np.arange(len(signal)))


def mean_residual(fitted: FittedEquation, ecgs: EcgSet) -> float:
    return float(np.sqrt(np.square(fitted.residual(ecgs, RATE_HZ)[:, :8]).mean(axis=1)).mean())


def test_a_solution_has_a_small_residual_and_noise_a_large_one(fitted: FittedEquation) -> None:
    steepest = float(np.abs(np.diff(solutions("NORM"), axis=2)).max() * RATE_HZ)
    solved, noisy = (mean_residual(fitted, ecg_set(solutions("NORM", noise_mv=noise), "NORM")) for noise in (0, 0.05))
    assert solved < 0.02 * steepest
    assert noisy > 10 * solved
    # White noise of 100 Hz, interpolated, has a slope of σ · 2π · 50 / √3 per second.
    assert noisy == pytest.approx(0.05 * 2 * math.pi * 50 / math.sqrt(3), rel=0.15)


def test_the_inter_lead_residual_is_that_of_the_derived_limb_leads(fitted: FittedEquation) -> None:
    signal = solutions("NORM")
    signal[:, 2:] += np.random.default_rng(1).normal(0, 0.05, signal[:, 2:].shape).astype(np.float32)
    ecgs = ecg_set(signal, "NORM")
    of_chest, of_limb = fitted.residual(ecgs, RATE_HZ)[:, 2:8], fitted.residual(ecgs, RATE_HZ)[:, 8:]
    assert of_limb.shape == (len(signal), 4) and of_limb.max() < 0.2 * of_chest.min()
    signal[:, 0] += signal[:, 2] - solutions("NORM")[:, 2]
    noisy = fitted.residual(ecg_set(signal, "NORM"), RATE_HZ)[:, 8:].mean(axis=0)
    # Noise of lead I alone reaches III, aVR, aVL and aVF by its weight in them.
    assert noisy / noisy[0] == pytest.approx([1.0, 0.5, 1.0, 0.5], rel=0.1)
    rows = list(
        residual_rows(
            "synthetic",
            fitted.residual(ecgs, RATE_HZ),
            np.arange(6),
            fitted.residual(ecgs, RATE_HZ),
            SETTINGS,
            leads=False,
        )
    )
    assert [row["metric"] for row in rows] == ["ODE residual", "inter-lead ODE residual"]


def test_an_ecg_is_held_against_its_own_class(fitted: FittedEquation) -> None:
    large = solutions("HYP")
    # R peaks are where the whole complex is steepest about, which is not quite where its R wave is centred.
    assert mean_residual(fitted, ecg_set(large, "LVH")) < 0.2 * mean_residual(fitted, ecg_set(large, "NORM"))


def test_an_ecg_without_beats_has_no_residual_and_does_not_count(fitted: FittedEquation) -> None:
    signal = solutions("NORM")
    signal[:2] = 0
    synthetic, real = ecg_set(signal, "NORM"), ecg_set(solutions("NORM", noise_mv=0.05), "NORM")
    assert np.isnan(fitted.residual(synthetic, RATE_HZ)[:2]).all()
    assert np.isfinite(fitted.residual(synthetic, RATE_HZ)[2:]).all()
    found = residual_with(fitted, synthetic, real, RATE_HZ, SETTINGS)
    assert (found["metric"], found["subject"], found["unit"]) == ("ODE residual", "synthetic", "mV/s")
    assert found["n"] == 4
    assert found["low"] <= found["value"] <= found["high"]
    assert found["reference"] > 10 * found["value"]


def test_a_class_is_the_main_statement_then_the_superclass_then_all() -> None:
    table = cohort_table(solutions("NORM", 4), [["NORM"], ["LVH", "SR"], ["SR"], ["SR", "NORM"]])
    assert known_wave_classes(table, CLASSES, STATEMENTS).tolist() == [2, 1, 2, 2]
    assert known_wave_classes(table, ["all", "LVH"], STATEMENTS).tolist() == [0, 1, 0, 0]
    recordings = recordings_table(6)
    names = [CLASSES[index] for index in known_wave_classes(recordings, CLASSES, STATEMENTS)]
    assert names == ["HYP", "NORM", "NORM"] * 2


def test_a_model_folder_gives_its_equation_if_it_has_one(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    model, _ = put_model(store, put_recordings(store, recordings_table(20)))
    folder = store.path(model)
    found = load_equation(folder)
    assert found is not None and found.classes == ["all", "NORM"]
    save_config(tmp_path, load_config(folder).model_copy(update={"wave_classes": []}))
    assert load_equation(tmp_path) is None
