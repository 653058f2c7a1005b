"""What an arm costs in training: steps of each arm's objective, timed in turns so that load hits all alike.

A step is what the training loop does to a batch: forward pass, backward pass, clipped gradient, optimiser. Its speed
does not depend on what the batch holds, so the batch is random.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import torch

from benchmarks.ablation_table import Figure
from benchmarks.timing import in_turns, rate
from models.conditioning import NUMBERS, TEXT_SIZE, ConditionTensors
from models.latent_diffusion.diffusion import DiffusionObjective
from models.latent_diffusion.ode_terms import BeatPhysics
from models.latent_diffusion.simulator_conditioning import guide_channel_count
from models.simulator.beat_equation import BeatEquation
from tasks.settings.training import TrainingSettings
from tasks.training.model_folder import load_fit, load_latent_diffusion
from tasks.training.optimisation import GRADIENT_CLIP
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

TURNS: Final = 48
"""With a dozen, the share lost to L_Euler came out between 0.22 and 0.32."""


def training_speeds(store: Store, models: dict[str, Reference]) -> dict[str, Figure]:
    """Samples per second of each arm's training step, the median over turns with its bootstrap interval.

    Args:
        models: arm to one of its models.
    """
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    steps = {arm: _step(store, model) for arm, model in models.items()}
    if not steps:
        return {}
    seconds = in_turns(*(step for step, _ in steps.values()), repetitions=TURNS)
    return {
        arm: Figure(**rate(of_arm, batch)._asdict())
        for (arm, (_, batch)), of_arm in zip(steps.items(), seconds.T, strict=True)
    }


def _step(store: Store, model: Reference) -> tuple[Callable[[int], None], int]:
    """One training step of a model as its settings have it, and its samples."""
    settings = TrainingSettings.model_validate(store.manifest(model).lineage.settings["training"])
    folder, diffusion = store.path(model), settings.diffusion
    generator = load_latent_diffusion(folder)
    config = generator.config
    denoiser = generator.denoiser.requires_grad_(True).train()
    physics = None
    if weights := diffusion.physics.weights():
        scale, mean, std = (torch.tensor(one) for one in (config.lead_scale_mv, config.latent_mean, config.latent_std))
        equation = BeatEquation(load_fit(folder))
        physics = BeatPhysics(generator.beat_decoder, equation, mean, std, scale, weights)
    objective = DiffusionObjective(denoiser, physics)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=0.0)
    rows, (channels, whole) = diffusion.batch_size, generator.latent_shape
    length = max(1, round(diffusion.crop_share * (whole - 1)))
    statements, entries = diffusion.architecture.statement_tokens, diffusion.architecture.knowledge_tokens
    draw = torch.Generator().manual_seed(1)
    batch = {
        "latents": torch.randn(rows, channels, length, generator=draw),
        "condition": ConditionTensors(
            text=torch.randn(rows, TEXT_SIZE, generator=draw),
            statements=torch.randn(rows, statements, TEXT_SIZE, generator=draw),
            knowledge=torch.randn(rows, entries, TEXT_SIZE, generator=draw),
            numbers=torch.rand(rows, len(NUMBERS), generator=draw),
            present=torch.ones(rows, 1 + statements + entries + len(NUMBERS), dtype=torch.bool),
        ),
        "wave_class": torch.zeros(rows, dtype=torch.int64),
        "omega": torch.full((rows,), 7.0),
        "guide": None,
        "levels": None,
    }
    shown = config.phase_channels, config.simulated_ecg
    if guides := guide_channel_count(*shown, config.autoencoder.downsampling, channels):
        batch["guide"] = torch.randn(rows, guides, length, generator=draw)
    if generator.prior is not None and generator.prior.levels is not None:
        batch["levels"] = torch.randn(rows, generator.prior.levels.size, generator=draw)

    def step(_: int) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            losses = objective(**batch)
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), GRADIENT_CLIP)
        optimiser.step()

    return step, rows
