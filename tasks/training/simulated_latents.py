"""Simulated ECGs for pre-training of the denoiser: latents, R peaks and conditions, drawn once by the driver.

Real recordings are few; simulated ones are as many as one likes, and labelled (`tasks.generation.simulator_baseline`).
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.conditioning import NUMBERS, ConditionTensors
from models.ecg.cardiac_phase import padded_times
from models.latent_diffusion.autoencoder import Autoencoder
from models.latent_diffusion.ode_terms import angular_rate
from tasks.conditions.condition import Condition, ConditionEmbedder, StatementFacts
from tasks.generation.cohort_table import superclasses_of
from tasks.generation.simulator_baseline import recorded_beats, simulated_batches
from tasks.settings.training import TrainingSettings
from tasks.training.networks.network_training import AUTOENCODER_FILE
from tasks.training.preparation.traits import TraitMaker
from tasks.training.training_data import ConditionSplit, known_wave_classes, save_conditions, save_tensors
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging

SIMULATED: Final = "simulated"
"""Name of the split."""
AT_ONCE: Final = 128


def prepare_simulated(
    staging: Staging,
    settings: TrainingSettings,
    recordings: Reference,
    autoencoder: Path,
    lead_scale_mv: list[float],
    embedder: ConditionEmbedder,
    classes: list[str],
    facts: StatementFacts,
    traits: TraitMaker | None,
) -> int:
    """Draw `pretraining_ecgs` ECGs from the simulator and leave what pre-training needs of them in the staging folder.

    Returns:
        How many there are.
    """
    beats = recorded_beats(staging.store, recordings)
    network = Autoencoder(settings.autoencoder.architecture)
    network.load_state_dict(load_file(autoencoder / AUTOENCODER_FILE))
    scale = torch.tensor(lead_scale_mv)[:, None]
    wanted = settings.diffusion.pretraining_ecgs
    latents, shown, levels, times, conditions = [], [], [], [], []
    for batch in islice(simulated_batches(beats, AT_ONCE, settings.seed), -(-wanted // AT_ONCE)):
        with torch.inference_mode():
            mean, _ = network.encode(torch.from_numpy(batch.signal_mv) / scale)
        latents.append(mean.float())
        guides = None
        if traits is not None and traits.prior.events is not None:
            guides = traits.of_recordings(batch.signal_mv, batch.r_peaks)
            shown.append(guides)
        if traits is not None and traits.prior.levels is not None:
            levels.append(traits.prior.levels.coordinates(traits.levels_of(latents[-1], guides)))
        times += [peaks / beats.rate_hz for peaks in batch.r_peaks]
        conditions += batch.conditions
    conditions = conditions[:wanted]
    tensors, _ = embedder(conditions)
    save_conditions(
        staging.path,
        SIMULATED,
        ConditionSplit(
            omega=angular_rate(tensors.numbers[:, NUMBERS.index("heart_rate_bpm")]),
            wave_class=torch.from_numpy(known_wave_classes(_shown(conditions, facts), classes, facts)),
            condition=tensors,
            # Nobody's group; a copy, since safetensors refuses to write a tensor twice.
            group_condition=ConditionTensors.stack([tensors]),
        ),
    )
    simulated = {"latents": torch.cat(latents)[:wanted], "r_times": padded_times(times[:wanted])}
    for name, found in (("guides", shown), ("levels", levels)):
        if found:
            simulated[name] = torch.cat(found)[:wanted]
    save_tensors(simulated, simulated_file(staging.path))
    return len(conditions)


def _shown(conditions: list[Condition], facts: StatementFacts) -> pa.Table:
    """Statements and superclasses of simulated ECGs, as cohorts hold them."""
    return pa.table(
        {
            "statements": pa.array([list(one.statements) for one in conditions], pa.list_(pa.string())),
            "superclasses": pa.array(
                [superclasses_of(one.statements, facts) for one in conditions], pa.list_(pa.string())
            ),
        }
    )


def load_simulated(staging: Path) -> dict[str, Tensor]:
    """latents (N, C, T), r_times (N, P) in seconds, padded with NaN, and guides (N, C, T) and levels (N, size) if
    the denoiser sees them."""
    return load_file(simulated_file(staging))


def simulated_file(staging: Path) -> Path:
    """Where latents and R peaks are kept while a generator is trained."""
    return staging / "_training" / "simulated.safetensors"
