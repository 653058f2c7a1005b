"""Training of the generator on an autoencoder's latents, through Ray Train; leaves a model folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.drawing.learning_curves import save_losses, show_losses
from tasks.settings import ComputeSettings, RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.stage import Result, Stage, commit_once, run_logger
from warehouse.storage.facts import AutoencoderFacts, ModelFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store, write_text
from warehouse.storage.waveform_file import waveform_file

if TYPE_CHECKING:
    from tasks.training.preparation.denoiser_inputs import PreparedConditions

TRAINING = Stage("train generator", makes="model", code_version=13)
DATA_FACTS = "_facts.json"


@task(name="train generator", cache_policy=NO_CACHE)
def train_generator(
    settings: TrainingSettings,
    recordings: Reference,
    autoencoder: Reference,
    knowledge: Reference,
    retrieval: RetrievalSettings,
    compute: ComputeSettings,
    uri: str,
) -> Reference:
    """Train the prior and the denoiser on the training split.

    Args:
        settings: architectures, objectives, steps.
        recordings: what ingestion committed.
        autoencoder: what `train_autoencoder` made of them with the same settings.
        knowledge: what the knowledge base committed; its entries are retrieved for every recording's condition.
        retrieval: how entries are retrieved, here and whenever the model generates.
        compute: how Ray is used.
        uri: the warehouse.

    Returns:
        A reference of kind "model": a folder of safetensors, the autoencoder's among them, and `config.json`; its rows
        are its weight files. Facts of its manifest: those of the autoencoder, `parameters` per network, `simulator_fit`
        (class to lead to R²), `losses` (last ones per stage), `history` (loss curves, which `losses.png` shows).

    Raises:
        TrainingError: there is nothing to train on, or training failed more often than `max_failures`.
    """
    store = Store(uri)

    def build(staging: Staging) -> Result:
        from tasks.cluster import connect
        from tasks.training.ray_train import train_network_on_ray

        connect(compute)
        prepared = _prepare(staging, settings, recordings, autoencoder, knowledge, retrieval)
        facts, waveforms = store.facts(autoencoder, AutoencoderFacts), waveform_file(store, recordings)
        for stage in settings.generator_stages:
            train_network_on_ray(stage, staging, settings, waveforms, store.path(autoencoder), facts)
        return _describe(staging, settings, recordings, autoencoder, knowledge, retrieval, prepared)

    sections = {"training": settings, "retrieval": retrieval}
    model = commit_once(TRAINING, sections, [recordings, autoencoder, knowledge], store, build)
    show_losses(store, model)
    return model


def _prepare(
    staging: Staging,
    settings: TrainingSettings,
    recordings: Reference,
    autoencoder: Reference,
    knowledge: Reference,
    retrieval: RetrievalSettings,
) -> PreparedConditions:
    """Prepare the data once; an interrupted run finds it in staging."""
    from tasks.training.preparation.denoiser_inputs import PreparedConditions, prepare_training

    path = staging.path / DATA_FACTS
    if path.exists():
        return PreparedConditions.model_validate_json(path.read_text(encoding="utf-8"))
    prepared = prepare_training(staging, settings, recordings, autoencoder, knowledge, retrieval)
    write_text(path, prepared.model_dump_json())
    return prepared


def _describe(
    staging: Staging,
    settings: TrainingSettings,
    recordings: Reference,
    autoencoder: Reference,
    knowledge: Reference,
    retrieval: RetrievalSettings,
    prepared: PreparedConditions,
) -> Result:
    """Fit the solvers, write the configuration and load the folder once, which is the proof that it is complete."""
    from models.architecture import GeneratorConfig
    from models.leads import INDEPENDENT_LEADS
    from tasks.knowledge.embeddings import EMBEDDING_MODEL
    from tasks.training.data.latents import latent_statistics
    from tasks.training.data.weight_files import AUTOENCODER_FILE, BEAT_DECODER_FILE, DETAIL_FILE
    from tasks.training.model_folder import ModelConfig, load_fit, load_generator, save_config
    from tasks.training.progress import loss_history

    encoded, facts = staging.store.path(autoencoder), staging.store.facts(autoencoder, AutoencoderFacts)
    mean, std = latent_statistics(encoded)
    physics = settings.diffusion.physics
    config = ModelConfig(
        generator=GeneratorConfig(
            autoencoder=settings.autoencoder.architecture,
            beat_decoder=settings.autoencoder.beat_decoder,
            denoiser=settings.diffusion.architecture,
            detail=settings.detail.architecture if settings.detail.enabled else None,
            sampling_rate_hz=facts.sampling_rate_hz,
            samples=facts.samples,
            lead_scale_mv=tuple(facts.lead_scale_mv),
            latent_mean=tuple(mean),
            latent_std=tuple(std),
            experience=settings.diffusion.experience,
            precision=settings.precision,
            phase_channels=physics.phase_channels,
            simulated_ecg=physics.simulated_ecg,
            levels=settings.diffusion.levels,
            prior=settings.prior.architecture if settings.diffusion.draws_traits else None,
            rhythms=prepared.rhythms if physics.phase_channels or physics.simulated_ecg else {},
        ),
        statements=prepared.statements,
        embedding_model=EMBEDDING_MODEL,
        knowledge_id=knowledge.id,
        retrieval=retrieval,
        recordings_id=recordings.id,
        simulated=facts.simulated,
        wave_classes=prepared.wave_classes,
    )
    for name in (AUTOENCODER_FILE, BEAT_DECODER_FILE, *([DETAIL_FILE] if settings.detail.enabled else [])):
        shutil.copyfile(encoded / name, staging.path / name)
    save_config(staging.path, config)
    run_logger().info("denoiser: fitting solvers of few steps to its trajectories")
    solvers = load_generator(staging.path).fitted_solvers()
    generator_config = config.generator.model_copy(update={"solvers": solvers})
    save_config(staging.path, config.model_copy(update={"generator": generator_config}))
    generator, fit = load_generator(staging.path), load_fit(staging.path)
    networks = dict(generator.named_children())
    history = [*facts.history, *loss_history(staging.path)]
    described = ModelFacts(
        **{**facts.model_dump(), "recordings": prepared.recordings, "history": history},
        parameters={name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()},
        simulator_fit={
            name: dict(zip(INDEPENDENT_LEADS, (round(value, 4) for value in row), strict=True))
            for name, row in zip(prepared.wave_classes, fit.r2.tolist(), strict=True)
        },
        losses={str(entry["stage"]): entry for entry in history},
    )
    save_losses(staging.path, described)
    return Result(rows=len(list(staging.path.glob("*.safetensors"))), facts=described)
