"""Training of the generator: prepare the data, train two stages through Ray Train, leave a model folder."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.settings import ComputeSettings, KnowledgeSettings, TrainingSettings
from tasks.stage import Result, Stage, commit_once, run_logger
from warehouse.reference import Reference
from warehouse.store import Staging, Store, write_text

TRAINING = Stage("train generator", makes="model", code_version=1)
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
    """Train autoencoder, beat decoder and denoiser on the training split of the recordings.

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
        (class to lead to R²), `losses` (last ones per stage), `history` (loss curves).

    Raises:
        TrainingError: there is nothing to train on, or training failed more often than `max_failures`.
    """
    store = Store(uri)
    retrieval = {"weights": knowledge_settings.weights.for_digest(), "top_k": knowledge_settings.top_k}
    shaping = {"training": settings.for_digest(), "retrieval": retrieval}

    def build(staging: Staging) -> Result:
        from tasks.cluster import connect

        connect(compute)
        facts = _prepare(staging, settings, recordings, knowledge, knowledge_settings)
        for stage in ("autoencoder", "denoiser"):
            _run_stage(stage, staging, settings, store.path(recordings), facts)
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


def _run_stage(
    name: str, staging: Staging, settings: TrainingSettings, recordings: Path, facts: dict[str, Any]
) -> None:
    """Train one stage to its end, or go on where an interrupted run left it."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import LoggingConfig
    from ray.train.v2.api.exceptions import TrainingFailedError

    from tasks.training_data import TrainingError
    from tasks.training_loop import train_network
    from tasks.training_progress import following

    logger = run_logger()
    cpus = int(ray.cluster_resources().get("CPU", 1))
    threads = max(1, cpus // settings.workers)
    trainer = TorchTrainer(
        train_network,
        train_loop_config={
            "stage": name,
            "settings": settings.model_dump(mode="json"),
            "staging": str(staging.path),
            "recordings": str(recordings),
            "facts": facts,
            "threads": threads,
        },
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.use_gpu,
            resources_per_worker={"CPU": threads, **({"GPU": 1} if settings.use_gpu else {})},
        ),
        run_config=RunConfig(  # type: ignore[call-arg]  # mypy sees the class of Ray Train 1
            # Ray Train resumes from the latest checkpoint of a run with the same name and storage: that is how a killed
            # run goes on. The model's id keeps other settings from resuming here.
            name=f"{staging.id}-{name}",
            storage_path=str(staging.path / "_ray"),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )
    logger.info("%s: %d worker(s) of %d threads", name, settings.workers, threads)
    with following(staging.path, logger), _interrupt_handler_restored():
        try:
            trainer.fit()
        except TrainingFailedError as error:
            cause = [line for line in str(error).strip().splitlines() if line.strip()][-1]
            raise TrainingError(
                f"{name} failed after {settings.max_failures} resumption(s): {cause.strip()}; "
                "run the same command again to go on from the last checkpoint"
            ) from error


def _describe(
    staging: Staging, settings: TrainingSettings, recordings: Reference, knowledge: Reference, facts: dict[str, Any]
) -> Result:
    """Write the configuration and load the folder once, which is the proof that it is complete."""
    from models.architecture import GeneratorConfig
    from models.leads import INDEPENDENT_LEADS
    from tasks.knowledge.embeddings import EMBEDDING_MODEL
    from tasks.model_folder import ModelConfig, load_fit, load_generator, save_config
    from tasks.training_progress import loss_history
    from tasks.training_stages import latent_statistics

    mean, std = latent_statistics(staging.path)
    config = ModelConfig(
        generator=GeneratorConfig(
            autoencoder=settings.autoencoder.architecture,
            beat_decoder=settings.autoencoder.beat_decoder,
            denoiser=settings.diffusion.architecture,
            sampling_rate_hz=facts["sampling_rate_hz"],
            samples=facts["samples"],
            lead_scale_mv=tuple(facts["lead_scale_mv"]),
            latent_mean=tuple(mean),
            latent_std=tuple(std),
            timesteps=settings.diffusion.timesteps,
            experience=settings.diffusion.experience,
            precision=settings.precision,
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
    networks = {name: getattr(generator, name) for name in ("autoencoder", "beat_decoder", "denoiser")}
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
        "losses": {entry["stage"]: entry for entry in history},
        "history": history,
    }
    return Result(rows=len(list(staging.path.glob("*.safetensors"))), facts=described)


@contextmanager
def _interrupt_handler_restored() -> Iterator[None]:
    """Ray Train replaces the handler of Ctrl-C and does not put it back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
