"""A small untrained flow, committed as training leaves one, for the recordings of `tests.tasks.clinic`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from models.architecture import BeatPriorArchitecture, FlowArchitecture
from models.beats.recorded import beats_of_recordings
from models.beats.rejection import Rejection
from models.ecg.r_peaks import locate_r_peaks
from models.flow.config import FlowConfig
from models.flow.generator import FlowGenerator
from models.rhythm.statistics import USUAL
from tasks.settings import RetrievalSettings
from tasks.training.data.weight_files import REJECTION_FILE, save_tensors, save_weights
from tasks.training.model_folder import ModelConfig, networks, save_config
from tests.facts import model_facts
from tests.models.synthetic_hearts import RATE_HZ, ecgs
from tests.tasks.clinic import STATEMENTS, lineage
from warehouse import schema
from warehouse.storage.reference import Reference, digest
from warehouse.storage.store import Store

SAMPLES = 1000
TRAINING: dict[str, Any] = {
    "generator": "flow",
    "precision": "fp32",
    "flow": {
        "architecture": {"width": 16, "depth": 1, "heads": 2},
        "beats": {
            "architecture": {
                "components": 12,
                "ectopic_components": 6,
                "width": 16,
                "blocks": 1,
                "token_width": 16,
                "queries": 2,
            },
            "steps": 60,
            "batch_size": 32,
        },
        "steps": 40,
        "batch_size": 8,
    },
}
"""How it would have been trained."""


def put_flow(store: Store, recordings: Reference, radius: float = 0.0) -> tuple[Reference, Reference]:
    """Commit an empty knowledge base and a flow; returns model and knowledge.

    Args:
        radius: around the one training beat that its draws keep away from, in coordinates of its prior.
    """
    knowledge = _no_knowledge(store, recordings)
    torch.manual_seed(1)
    config = FlowConfig(
        denoiser=FlowArchitecture(**TRAINING["flow"]["architecture"]),
        prior=BeatPriorArchitecture(**TRAINING["flow"]["beats"]["architecture"]),
        sampling_rate_hz=RATE_HZ,
        samples=SAMPLES,
        precision="fp32",
        statistics=USUAL,
        rows_at_once=4,
    )
    generator = FlowGenerator(config)
    for weight in generator.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    usual = ecgs(30, 2)
    r_peaks = locate_r_peaks(usual, RATE_HZ)
    _, beats = beats_of_recordings(usual, r_peaks, [np.zeros(len(one)) for one in r_peaks], RATE_HZ)
    generator.prior.fit_components(beats)
    signal = torch.from_numpy(usual)
    generator.filter.fit(generator.filter.power(signal) / len(signal))
    rejection = {
        "usual.training": generator.prior.usual.coordinates(beats.usual[:1]),
        "usual.radius": torch.tensor(radius, dtype=torch.float64),
        "ectopic.training": torch.zeros(0, generator.prior.ectopic.size),
        "ectopic.radius": torch.tensor(0.0, dtype=torch.float64),
    }
    about = ModelConfig(
        generator=config,
        statements=STATEMENTS,
        embedding_model="all-MiniLM-L6-v2",
        knowledge_id=knowledge.id,
        retrieval=RetrievalSettings(),
        recordings_id=recordings.id,
        simulated=True,
        wave_classes=[],
    )
    with store.stage("model", digest("flow", recordings.id, radius)) as staging:
        for name, network in networks(generator).items():
            save_weights(network, staging.path / name)
        save_tensors(Rejection.of_tensors(rejection, generator.prior).tensors(), staging.path / REJECTION_FILE)
        save_config(staging.path, about)
        trained = lineage("train", [recordings, knowledge]).model_copy(update={"settings": {"training": TRAINING}})
        return staging.commit(1, trained, model_facts(simulator_fit={})), knowledge


def _no_knowledge(store: Store, recordings: Reference) -> Reference:
    if known := store.find("knowledge", identifier := digest("knowledge of a flow", recordings.id)):
        return known
    with store.stage("knowledge", identifier) as staging:
        staging.write_table("knowledge", 0, schema.knowledge().empty_table())
        return staging.commit(0, lineage("build knowledge", [recordings]))
