"""Training of the generator through Ray Train, on an autoencoder's latents or as a flow; leaves a model folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.drawing.learning_curves import save_losses, show_losses
from tasks.settings import ComputeSettings, RetrievalSettings
from tasks.settings.training import TrainingSettings
from tasks.stage import Result, Stage, commit_once, run_logger
from warehouse.storage.facts import AutoencoderFacts, ModelFacts, PatientPrivacyFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store
from warehouse.storage.waveform_file import waveform_file
from warehouse.storage.whole_files import write_text

if TYPE_CHECKING:
    from tasks.training.preparation.denoiser_inputs import PreparedTraining

TRAINING = Stage("train generator", makes="model", code_version=15)
DATA_FACTS = "_facts.json"


@task(name="train generator", cache_policy=NO_CACHE)
def train_generator(
    settings: TrainingSettings,
    recordings: Reference,
    autoencoder: Reference | None,
    knowledge: Reference,
    retrieval: RetrievalSettings,
    compute: ComputeSettings,
    uri: str,
) -> Reference:
    """Train the prior and the denoiser, or the flow, on the training split.

    Args:
        settings: architectures, objectives, steps.
        recordings: what ingestion committed.
        autoencoder: what `train_autoencoder` made of them with the same settings; None for a flow.
        knowledge: what the knowledge base committed; its entries are retrieved for every recording's condition.
        retrieval: how entries are retrieved, here and whenever the model generates.
        compute: how Ray is used.
        uri: the warehouse.

    Returns:
        A reference of kind "model": a folder of safetensors, the autoencoder's among them, and `config.json`; its rows
        are its weight files. Facts of its manifest: those of the autoencoder, `parameters` per network, `simulator_fit`
        (class to lead to R²), `losses` (last ones per stage), `history` (loss curves, which `losses.png` shows),
        `privacy` (what differential privacy guarantees to training patients, per network that was trained with it).

    Raises:
        TrainingError: there is nothing to train on, or training failed more often than `max_failures`.
        ValueError: diffusion in the latent without an autoencoder, or a flow with one.
    """
    store = Store(uri)
    if (autoencoder is None) != (settings.generator == "flow"):
        raise ValueError(f"training.generator {settings.generator} and autoencoder {autoencoder} do not fit")

    def build(staging: Staging) -> Result:
        from tasks.cluster import connect
        from tasks.training.ray_train import train_network_on_ray

        connect(compute)
        if autoencoder is None:
            return _train_flow(staging, settings, recordings, knowledge, retrieval)
        prepared = _prepare(staging, settings, recordings, autoencoder, knowledge, retrieval)
        facts, waveforms = store.facts(autoencoder, AutoencoderFacts), waveform_file(store, recordings)
        for stage in settings.generator_stages:
            train_network_on_ray(stage, staging, settings, waveforms, store.path(autoencoder), facts)
        return _describe(staging, settings, recordings, autoencoder, knowledge, retrieval, prepared)

    inputs = [recordings, knowledge] if autoencoder is None else [recordings, autoencoder, knowledge]
    sections = {"training": settings, "retrieval": retrieval}
    model = commit_once(TRAINING, sections, inputs, store, build)
    show_losses(store, model)
    return model


def _prepare(
    staging: Staging,
    settings: TrainingSettings,
    recordings: Reference,
    autoencoder: Reference,
    knowledge: Reference,
    retrieval: RetrievalSettings,
) -> PreparedTraining:
    """Prepare the data once; an interrupted run finds it in staging."""
    from tasks.training.preparation.denoiser_inputs import PreparedTraining, prepare_training

    path = staging.path / DATA_FACTS
    if path.exists():
        return PreparedTraining.model_validate_json(path.read_text(encoding="utf-8"))
    encoded, facts = staging.store.path(autoencoder), staging.store.facts(autoencoder, AutoencoderFacts)
    prepared = prepare_training(staging.store, staging.path, settings, recordings, encoded, facts, knowledge, retrieval)
    write_text(path, prepared.model_dump_json())
    return prepared


def _describe(
    staging: Staging,
    settings: TrainingSettings,
    recordings: Reference,
    autoencoder: Reference,
    knowledge: Reference,
    retrieval: RetrievalSettings,
    prepared: PreparedTraining,
) -> Result:
    """Fit the solvers, write the configuration and load the folder once, which is the proof that it is complete."""
    from models.architecture import GeneratorConfig
    from tasks.knowledge.embeddings import EMBEDDING_MODEL
    from tasks.training.data.latents import latent_statistics
    from tasks.training.data.weight_files import AUTOENCODER_FILE, BEAT_DECODER_FILE, DETAIL_FILE
    from tasks.training.model_folder import ModelConfig, load_latent_diffusion, save_config

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
        findings=prepared.findings,
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
    solvers = load_latent_diffusion(staging.path).fitted_solvers()
    generator_config = config.generator.model_copy(update={"solvers": solvers})
    save_config(staging.path, config.model_copy(update={"generator": generator_config}))
    return _described(staging.path, facts, prepared.recordings, prepared.wave_classes, {})


def _train_flow(
    staging: Staging,
    settings: TrainingSettings,
    recordings: Reference,
    knowledge: Reference,
    retrieval: RetrievalSettings,
) -> Result:
    from tasks.training.beat_prior import STAGE as PRIOR
    from tasks.training.beat_prior import train_beats
    from tasks.training.flow_model import beats_of, prepare, save_model
    from tasks.training.patient_privacy import load_spent
    from tasks.training.ray_train import train_network_on_ray

    prepared = prepare(staging.store, staging.path, settings, recordings, knowledge, retrieval)
    waveforms = waveform_file(staging.store, recordings)
    train_beats(staging.path, settings)
    for stage in settings.generator_stages:
        train_network_on_ray(stage, staging, settings, waveforms, beats_of(staging.path), prepared.data)
    save_model(staging.store, staging.path, settings, recordings, knowledge, retrieval, prepared)
    found = prepared.conditions
    facts = AutoencoderFacts(**prepared.data.model_dump(), reconstruction_mae_mv={}, history=[])
    privacy = load_spent(staging.path, [PRIOR, *settings.generator_stages])
    return _described(staging.path, facts, found.recordings, found.wave_classes, privacy)


def _described(
    folder: Path,
    facts: AutoencoderFacts,
    recordings: dict[str, int],
    wave_classes: list[str],
    privacy: dict[str, PatientPrivacyFacts],
) -> Result:
    """Load the folder once, which is the proof that it is complete, and tell what is in it."""
    from models.leads import INDEPENDENT_LEADS
    from tasks.training.model_folder import load_fit, load_generator
    from tasks.training.progress import loss_history

    generator, fit = load_generator(folder), load_fit(folder)
    history = [*facts.history, *loss_history(folder)]
    described = ModelFacts(
        **{**facts.model_dump(), "recordings": recordings, "history": history},
        parameters={
            name: size
            for name, network in generator.named_children()
            if (size := sum(weight.numel() for weight in network.parameters()))
        },
        simulator_fit={
            name: dict(zip(INDEPENDENT_LEADS, (round(value, 4) for value in row), strict=True))
            for name, row in zip(wave_classes, fit.r2.tolist(), strict=True)
        },
        losses={str(entry["stage"]): entry for entry in history},
        privacy=privacy,
    )
    save_losses(folder, described)
    return Result(rows=len(list(folder.glob("*.safetensors"))), facts=described)
