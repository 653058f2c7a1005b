"""Training of the generator: prepare the data, train its stages through Ray Train, leave a model folder."""

from __future__ import annotations

import json
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.settings import ComputeSettings, KnowledgeSettings, TrainingSettings
from tasks.stage import Result, Stage, commit_once
from warehouse.reference import Reference
from warehouse.store import Staging, Store, write_text

TRAINING = Stage("train generator", makes="model", code_version=2)
DATA_FACTS = "_training/facts.json"


@task(name="train generator", cache_policy=NO_CACHE)
def train_generator(
    settings: TrainingSettings,
    recordings: Reference,
    knowledge: Reference,
    knowledge_settings: KnowledgeSettings,
    compute: ComputeSettings,
    uri: str,
) -> Reference:
    """Train autoencoder, beat decoder, denoiser and detail head on the training split of the recordings.

    Args:
        settings: architectures, objectives, steps.
        recordings: what ingestion committed.
        knowledge: what the knowledge base committed; its entries are retrieved for every recording's condition.
        knowledge_settings: how entries are retrieved.
        compute: how Ray is used.
        uri: the warehouse.

    Returns:
        A reference of kind "model": a folder of safetensors and `config.json`; its rows are its weight files. Facts of
        its manifest: `recordings` per split, `excluded` per quality flag, `parameters` per network, `simulator_fit`
        (class to lead to R²), `reconstruction_mae_mv` (split to lead to mV), `losses` (last ones per stage), `history`
        (loss curves).

    Raises:
        TrainingError: there is nothing to train on, or training failed more often than `max_failures`.
    """
    store = Store(uri)
    retrieval = {"weights": knowledge_settings.weights.for_digest(), "top_k": knowledge_settings.top_k}
    shaping = {"training": settings.for_digest(), "retrieval": retrieval}

    def build(staging: Staging) -> Result:
        from tasks.cluster import connect
        from tasks.ray_training import run_stage

        connect(compute)
        facts = _prepare(staging, settings, recordings, knowledge, knowledge_settings)
        for stage in settings.stages:
            run_stage(stage, staging, settings, store.path(recordings), facts)
        return _describe(staging, settings, recordings, knowledge, facts)

    return commit_once(TRAINING, shaping, [recordings, knowledge], store, build)


def _prepare(
    staging: Staging,
    settings: TrainingSettings,
    recordings: Reference,
    knowledge: Reference,
    knowledge_settings: KnowledgeSettings,
) -> dict[str, Any]:
    """Prepare the data once; an interrupted run finds it in staging."""
    path = staging.path / DATA_FACTS
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    from tasks.training_preparation import prepare_training

    facts = prepare_training(staging, settings, recordings, knowledge, knowledge_settings)
    write_text(path, json.dumps(facts))
    return facts


def _describe(
    staging: Staging, settings: TrainingSettings, recordings: Reference, knowledge: Reference, facts: dict[str, Any]
) -> Result:
    """Write the configuration and load the folder once, which is the proof that it is complete."""
    from models.architecture import GeneratorConfig
    from models.leads import INDEPENDENT_LEADS
    from tasks.knowledge.embeddings import EMBEDDING_MODEL
    from tasks.model_folder import ModelConfig, load_fit, load_generator, save_config
    from tasks.training_progress import loss_history
    from tasks.training_stages import latent_statistics, reconstruction_error

    mean, std = latent_statistics(staging.path)
    config = ModelConfig(
        generator=GeneratorConfig(
            autoencoder=settings.autoencoder.architecture,
            beat_decoder=settings.autoencoder.beat_decoder,
            denoiser=settings.diffusion.architecture,
            detail=settings.detail.architecture if settings.detail.enabled else None,
            sampling_rate_hz=facts["sampling_rate_hz"],
            samples=facts["samples"],
            lead_scale_mv=tuple(facts["lead_scale_mv"]),
            latent_mean=tuple(mean),
            latent_std=tuple(std),
            distilled_guidance=settings.distillation.guidance if "student" in settings.stages else None,
            timesteps=settings.diffusion.timesteps,
            experience=settings.diffusion.experience,
            precision=settings.precision,
            phase_channels=settings.diffusion.physics.phase_channels,
            rhythms=facts["rhythms"] if settings.diffusion.physics.phase_channels else {},
        ),
        statements=facts["statements"],
        embedding_model=EMBEDDING_MODEL,
        knowledge_id=knowledge.id,
        recordings_id=recordings.id,
        simulated=facts["simulated"],
        wave_classes=facts["wave_classes"],
    )
    save_config(staging.path, config)
    generator, fit = load_generator(staging.path), load_fit(staging.path)
    networks = dict(generator.named_children())
    history = loss_history(staging.path)
    described = {
        "recordings": facts["recordings"],
        "excluded": facts["excluded"],
        "simulated": facts["simulated"],
        "sampling_rate_hz": facts["sampling_rate_hz"],
        "samples": facts["samples"],
        "parameters": {
            name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()
        },
        "simulator_fit": {
            name: dict(zip(INDEPENDENT_LEADS, (round(value, 4) for value in row), strict=True))
            for name, row in zip(facts["wave_classes"], fit.r2.tolist(), strict=True)
        },
        "reconstruction_mae_mv": {
            split: {lead: round(value, 5) for lead, value in zip(INDEPENDENT_LEADS, values, strict=True)}
            for split, values in reconstruction_error(staging.path).items()
        },
        "losses": {entry["stage"]: entry for entry in history},
        "history": history,
    }
    return Result(rows=len(list(staging.path.glob("*.safetensors"))), facts=described)
