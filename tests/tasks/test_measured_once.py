"""R peaks are located once, when a recording is stored; training reads waveforms from Parquet once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import ray.train
import torch

from models.architecture import BeatEncoderArchitecture
from models.leads import INDEPENDENT_LEADS
from models.privacy.beat_encoder import BeatEncoder
from models.simulator.beat_equation import BeatEquation, WaveFit
from tasks.conditions.condition import Condition
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.heart_rate import heart_rate_rows
from tasks.evaluation.rows.ode_residual import FittedEquation
from tasks.generation import cohort_table
from tasks.ingestion.recording_parts import Window, write_part
from tasks.ingestion.task import assign
from tasks.privacy.audit import Attacks
from tasks.privacy.audited import Audited
from tasks.settings import EvaluationSettings, IngestionSettings, PrivacySettings
from tasks.training import ray_train
from tests.counted import count_searched_recordings, count_waveform_reads
from tests.models.synthetic_hearts import RATE_HZ, ecgs
from tests.tasks import clinic
from tests.tasks.small_training import SMALL, recordings_table, small, train
from tests.warehouse.small_dataset import SmallDataset
from warehouse.sources.registry import open_source
from warehouse.storage.pseudonyms import pseudonyms_of
from warehouse.storage.store import Store

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.mark.slow
def test_a_training_reads_each_waveform_once_and_searches_for_no_r_peaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without workers, Ray Train runs the loop in this process, where it can be watched.
    monkeypatch.setattr(ray_train, "ScalingConfig", lambda **_: ray.train.ScalingConfig(num_workers=0))
    short = {name: {**SMALL[name], "steps": 2} for name in ("autoencoder", "detail", "prior", "diffusion")}
    table = recordings_table()
    read = count_waveform_reads(monkeypatch)
    searched = count_searched_recordings(monkeypatch)
    store, model = train(tmp_path, small(**short), table)
    assert store.manifest(model).facts["recordings"] == {"train": 47, "validation": 12}
    assert read == {"part-00000.parquet": 1, "part-00001.parquet": 1}
    assert searched.total() == 0


def test_ingestion_searches_each_recording_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, store = open_source("ptbxl", SmallDataset(tmp_path / "ptbxl", records=12).folder), Store(str(tmp_path))
    assigned, _ = assign(source.records(), IngestionSettings(), source.name, pseudonyms_of(store))
    searched = count_searched_recordings(monkeypatch)
    with store.stage("recordings", "a1") as staging:
        write_part(source, staging, Window(100, 10.0), 0, assigned)
    assert len(searched) == searched.total() == 12


def test_generation_searches_each_ecg_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = count_searched_recordings(monkeypatch)
    signal, asked = ecgs(5, 1), Condition("normal ECG", ("NORM",), 50.0, "female", 70.0)
    table = cohort_table.cohort_table(
        "c", range(5), [1] * 5, [asked] * 5, [()] * 5, [[]] * 5, signal, RATE_HZ, "m", True, clinic.STATEMENTS
    )
    assert len(searched) == searched.total() == 5
    found = [len(peaks) for peaks in table["r_peak_s"].to_pylist()]
    assert found == table["r_peaks"].to_pylist()
    assert min(found) > 5


def ecg_set(count: int, seed: int) -> EcgSet:
    signal = ecgs(count, seed)
    return EcgSet(clinic.cohort_table(signal, [["NORM"]] * count), signal, np.arange(count))


def test_evaluation_and_audit_read_where_the_r_peaks_are(monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic, train_set, validation, test = (ecg_set(12, seed) for seed in range(4))
    settings = EvaluationSettings(bootstrap_samples=20)
    searched = count_searched_recordings(monkeypatch)
    compared = Compared(train_set, test, synthetic, {}, {}, RATE_HZ, settings)
    by_name = {(row["metric"], row["subject"]): row for row in heart_rate_rows(compared)}
    assert by_name["R peaks found by both detectors (F1)", "synthetic"]["value"] > 0.9
    fit = WaveFit(torch.zeros(1, len(INDEPENDENT_LEADS), 5, 3) + 0.1, torch.ones(1), torch.zeros(1, 8))
    equation = BeatEquation(fit)
    assert np.isfinite(FittedEquation(equation, ["all"], clinic.STATEMENTS).residual(synthetic, RATE_HZ)).all()
    encoder = BeatEncoder(BeatEncoderArchitecture(width=8, embedding=8)).eval()
    audited = Audited(synthetic, train_set, validation, test, RATE_HZ, encoder, None, 1)
    privacy = PrivacySettings(bootstrap_samples=20)
    assert all(list(attack.rows()) for attack in Attacks.on(audited, privacy).all())
    assert searched.total() == 0
