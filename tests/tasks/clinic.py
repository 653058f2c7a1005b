"""A small committed warehouse for tests: recordings of simulated people, a knowledge base, an untrained generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from models.architecture import (
    AutoencoderArchitecture,
    BeatDecoderArchitecture,
    DenoiserArchitecture,
    DetailArchitecture,
    GeneratorConfig,
    PriorArchitecture,
    SolverRule,
)
from models.ecg.measurements import measure
from models.ecg.r_peaks import locate_r_peaks
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.simulator_conditioning import own_amplitudes
from models.leads import INDEPENDENT_LEADS
from models.simulator.beat_equation import WaveFit
from models.simulator.rhythm_series import USUAL
from tasks.settings import RetrievalSettings
from tasks.training.data.weight_files import save_weights
from tasks.training.model_folder import ModelConfig, networks, save_config, save_fit
from tests.facts import model_facts, recordings_facts
from tests.models.synthetic_hearts import RATE_HZ, ecgs
from warehouse import schema
from warehouse.storage.reference import Reference, digest
from warehouse.storage.store import Lineage, Store
from warehouse.storage.waveforms import to_lead_columns, to_measured_columns, to_r_peak_column

STATEMENTS = {
    "NORM": {"description": "normal ECG", "superclass": "NORM", "kind": "diagnostic"},
    "LVH": {"description": "left ventricular hypertrophy", "superclass": "HYP", "kind": "diagnostic"},
    "SR": {"description": "sinus rhythm", "superclass": "", "kind": "rhythm"},
}
TRAINING = {"prior": {"steps": 60}, "diffusion": {"steps": 40}}
"""How a generator would have been trained."""
SPLITS = ((8, "train"), (9, "validation"), (10, "test"))


def people(count: int, seed: int) -> tuple[np.ndarray, list[list[str]]]:
    """Signals and statements; hypertrophy, every third, shows as large amplitudes."""
    signal = ecgs(count, seed)
    statements = [["LVH", "SR"] if row % 3 == 0 else ["NORM", "SR"] for row in range(count)]
    signal[::3] *= 2.0
    return signal, statements


def recordings_table(count: int, seed: int = 1) -> pa.Table:
    """Rows of `recordings`: one patient each, folds 1 to 10 in turn."""
    signal, statements = people(count, seed)
    r_peaks = locate_r_peaks(signal, RATE_HZ)
    folds = [row % 10 + 1 for row in range(count)]
    columns = {
        "recording_id": [f"recording-{row:04d}" for row in range(count)],
        "patient_key": [f"patient-{row:04d}" for row in range(count)],
        "source": ["clinic"] * count,
        "simulated": [True] * count,
        "window_start_s": [0.0] * len(folds),
        "strat_fold": folds,
        "split": [next(split for last, split in SPLITS if fold <= last) for fold in folds],
        "age_years": [20.0 + row % 2 * 45 for row in range(count)],
        "sex": ["female" if row % 4 < 2 else "male" for row in range(count)],
        "text": [f"seen on ward {row} by a doctor who wrote this long sentence" for row in range(count)],
        "statements": [[{"code": code, "likelihood": 100.0} for code in codes] for codes in statements],
        "superclasses": [["HYP"] if "LVH" in codes else ["NORM"] for codes in statements],
        "coded_views": [[] for _ in range(count)],
        "quality_flags": [[] for _ in range(count)],
        "r_peak_s": to_r_peak_column(r_peaks, RATE_HZ),
        **to_measured_columns(measure(signal, r_peaks, RATE_HZ)),
        **to_lead_columns(signal),
    }
    return pa.table(columns, schema=schema.recordings(signal.shape[2], RATE_HZ))


def cohort_table(signal: np.ndarray, statements: list[list[str]], text: list[str] | None = None) -> pa.Table:
    """Rows of `cohorts` for given waveforms and statements; ages, sexes and texts that stand for nobody."""
    count = len(signal)
    r_peaks = locate_r_peaks(signal, RATE_HZ)
    measured = measure(signal, r_peaks, RATE_HZ)
    written = [", ".join(str(STATEMENTS[code]["description"]) for code in codes) for codes in statements]
    columns = {
        "ecg_id": [f"ecg-{row}" for row in range(count)],
        "row_number": list(range(count)),
        "row_seed": list(range(count)),
        "model_id": ["model"] * count,
        "simulated_source": [True] * count,
        "condition": ["; ".join(str(STATEMENTS[code]["description"]) for code in codes) for codes in statements],
        "text": text or written,
        "statements": statements,
        "likelihoods": [[None] * len(codes) for codes in statements],
        "superclasses": [["HYP"] if "LVH" in codes else ["NORM"] for codes in statements],
        "given_up": [[] for _ in range(count)],
        **dict.fromkeys(("heart_axis", "infarction_stage", "extra_beats", "pacemaker", "findings"), [None] * count),
        "age_years": [70.0 if row % 2 else 25.0 for row in range(count)],
        "sex": ["female" if row % 4 < 2 else "male" for row in range(count)],
        "target_heart_rate_bpm": np.nan_to_num(measured["heart_rate_bpm"], nan=70.0) + 2.0,
        "knowledge_entries": [[] for _ in range(count)],
        "quality_flags": [[] for _ in range(count)],
        "r_peak_s": to_r_peak_column(r_peaks, RATE_HZ),
        **to_measured_columns(measured),
        **to_lead_columns(signal),
    }
    return pa.table(columns, schema=schema.cohorts(signal.shape[2], RATE_HZ))


def put_recordings(store: Store, table: pa.Table) -> Reference:
    """Commit recordings."""
    facts = recordings_facts(
        statements=STATEMENTS,
        source="clinic",
        samples=table.schema.field("lead_i").type.list_size,
        sampling_rate_hz=RATE_HZ,
    )
    identifier = digest("recordings", table.num_rows, table["recording_id"].to_pylist(), table["text"].to_pylist())
    with store.stage("recordings", identifier) as staging:
        staging.write_table("recordings", 0, table)
        return staging.commit(table.num_rows, lineage("ingest", []), facts)


def put_cohort(
    store: Store, recordings: Reference, table: pa.Table, name: str, model: Reference | None = None
) -> Reference:
    """Commit a cohort; without a model, as if it came from elsewhere."""
    with store.stage("cohort", digest(name, recordings.id)) as staging:
        staging.write_table("cohorts", 0, table)
        return staging.commit(table.num_rows, lineage("generate", [*([model] if model else []), recordings]))


def put_model(
    store: Store,
    recordings: Reference,
    entries: pa.Table | None = None,
    retrieval: RetrievalSettings | None = None,
    **changes: Any,
) -> tuple[Reference, Reference]:
    """Commit a knowledge base, empty without entries, and a small untrained generator; returns model and knowledge.

    Args:
        changes: of the generator's configuration.
    """
    entries = schema.knowledge().empty_table() if entries is None else entries
    with store.stage("knowledge", digest("knowledge", recordings.id, changes)) as staging:
        staging.write_table("knowledge", 0, entries)
        knowledge = staging.commit(entries.num_rows, lineage("build knowledge", [recordings]))
    config = GeneratorConfig(
        autoencoder=AutoencoderArchitecture(width=8, latent_channels=4),
        beat_decoder=BeatDecoderArchitecture(width=8),
        denoiser=DenoiserArchitecture(width=16, multipliers=(1, 2), blocks=1, token_width=16),
        sampling_rate_hz=RATE_HZ,
        samples=1000,
        lead_scale_mv=(0.3,) * len(INDEPENDENT_LEADS),
        latent_mean=(0.0,) * 4,
        latent_std=(1.0,) * 4,
        detail=DetailArchitecture(width=16, blocks=1),
        phase_channels=True,
        simulated_ecg=True,
        levels=True,
        prior=PriorArchitecture(components=12, width=16, blocks=1, token_width=16),
        rhythms=USUAL,
        solvers=(SolverRule(times=(999, 600, 200), weights=((1.0,), (-0.5, 1.5), (0.2, -0.6, 1.4))),),
    ).model_copy(update=changes)
    torch.manual_seed(1)
    about = ModelConfig(
        generator=config,
        statements=STATEMENTS,
        embedding_model="all-MiniLM-L6-v2",
        knowledge_id=knowledge.id,
        retrieval=retrieval or RetrievalSettings(),
        recordings_id=recordings.id,
        simulated=True,
        wave_classes=["all", "NORM"],
    )
    generator = Generator(config)
    with torch.no_grad():
        # Freshly made, the last layer is zero and a row would not depend on its condition.
        for weight in generator.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    signal = torch.randn(40, len(INDEPENDENT_LEADS), 1000)
    assert generator.detail is not None and generator.prior is not None
    if generator.prior.events is not None:
        usual = ecgs(30, 2)
        generator.prior.events.fit(own_amplitudes(usual, locate_r_peaks(usual, RATE_HZ), RATE_HZ)[0])
    # As in people, what the autoencoder loses comes in bursts: a tenth of the time it is ten times as strong.
    bursts = 1 + 9 * (torch.rand(40, len(INDEPENDENT_LEADS), 20) < 0.1).float().repeat_interleave(50, dim=2)
    generator.detail.spectrum.fit(signal + 0.1 * bursts * torch.randn_like(signal), signal)
    with store.stage("model", digest("model", recordings.id, changes)) as staging:
        # A simulator without waves: the ODE residual is the slope of the beat itself.
        fit = WaveFit(torch.zeros(2, len(INDEPENDENT_LEADS), 5, 3) + 0.1, torch.ones(2), torch.zeros(2, 8))
        fit.parameters[..., 0] = 0.0
        save_generator(staging.path, generator)
        save_config(staging.path, about)
        save_fit(staging.path, fit)
        facts = model_facts(simulator_fit={"NORM": dict.fromkeys(INDEPENDENT_LEADS, 0.75)})
        trained = lineage("train", [recordings, knowledge]).model_copy(update={"settings": {"training": TRAINING}})
        model = staging.commit(1, trained, facts)
    return model, knowledge


def save_generator(folder: Path, generator: Generator) -> None:
    """Write the weights of a generator that exists in memory, as training leaves them."""
    for name, network in networks(generator).items():
        save_weights(network, folder / name)


def lineage(stage: str, inputs: list[Reference]) -> Lineage:
    """Where a test's dataset came from."""
    return Lineage(stage=stage, code_version=1, settings={}, inputs=inputs)
