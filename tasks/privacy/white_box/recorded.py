"""Recordings as a model's prior learned from them, or would have: their traits, their beats and their conditions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.conditioning import ConditionTensors
from models.ecg.quality_vocabulary import UNUSABLE_FLAGS
from models.ecg.r_peaks import in_samples
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.simulator_conditioning import own_amplitudes
from tasks.conditions.cohort_design import group_conditions
from tasks.conditions.condition import ConditionEmbedder, StatementFacts, conditions_of
from tasks.ecg_sets import EcgSet
from tasks.training.preparation.denoiser_inputs import GROUP_PATIENTS
from tasks.training.preparation.traits import AT_ONCE, TraitMaker

FEWEST_BEATS = 2
"""R peaks without which a recording has no usual beat, and the prior does not learn from it."""


@dataclass(frozen=True)
class Recorded:
    """Some recordings, as a prior sees them.

    Attributes:
        ecgs: the recordings.
        traits: (n, traits) as `models.latent_diffusion.trait_prior.TraitPrior` has them.
        condition: of n rows, their own.
        group_condition: of n rows, their groups'.
    """

    ecgs: EcgSet
    traits: Tensor
    condition: ConditionTensors
    group_condition: ConditionTensors

    def __len__(self) -> int:
        return len(self.traits)


def learned_from(ecgs: EcgSet) -> EcgSet:
    """The recordings that a model may learn from: usable ones with a usual beat."""
    flags = ecgs.table.column("quality_flags").to_pylist()
    usable = [not any(flag.startswith(tuple(UNUSABLE_FLAGS)) for flag in found or []) for found in flags]
    beating = [len(peaks) >= FEWEST_BEATS for peaks in ecgs.r_peaks_s]
    return ecgs.take(np.array(usable) & np.array(beating))


def recorded(
    ecgs: EcgSet, members: EcgSet, generator: Generator, embedder: ConditionEmbedder, statements: StatementFacts
) -> Recorded:
    """Recordings as the prior of a generator sees them; groups are those of its training recordings."""
    condition, _ = embedder(conditions_of(ecgs.table, statements))
    group_condition, _ = embedder(group_conditions(ecgs.table, members.table, GROUP_PATIENTS, statements))
    return Recorded(ecgs, traits_of(ecgs, generator), condition, group_condition)


@torch.inference_mode()
def traits_of(ecgs: EcgSet, generator: Generator) -> Tensor:
    """(n, traits) of recordings, in the coordinates of a generator's prior."""
    config, prior = generator.config, generator.prior
    assert prior is not None
    maker = TraitMaker(
        prior=prior,
        autoencoder=generator.autoencoder,
        lead_scale=generator.lead_scale,
        latent_mean=generator.latent_mean,
        latent_std=generator.latent_std,
        rate_hz=config.sampling_rate_hz,
        samples=config.samples,
    )
    r_peaks = in_samples(ecgs.r_peaks_s, config.sampling_rate_hz)
    parts = []
    for rows in torch.arange(len(ecgs)).split(AT_ONCE):
        signal, found = ecgs.signal[rows.numpy()], [r_peaks[row] for row in rows]
        traits, shown = [], None
        if prior.events is not None:
            traits.append(prior.events.coordinates(own_amplitudes(signal, found, config.sampling_rate_hz)[0]))
            shown = maker.encoded(prior.events.amplitude(traits[0]), _padded_s(found, config.sampling_rate_hz))
        if prior.levels is not None:
            latents = generator.autoencoder.encode(torch.from_numpy(signal) / generator.lead_scale)[0].float()
            traits.append(prior.levels.coordinates(maker.levels_of(latents, shown)))
        parts.append(torch.cat(traits, dim=1))
    return torch.cat(parts)


def _padded_s(r_peaks: list[np.ndarray], rate_hz: float) -> Tensor:
    padded = torch.full((len(r_peaks), max(len(peaks) for peaks in r_peaks)), torch.nan)
    for row, peaks in enumerate(r_peaks):
        padded[row, : len(peaks)] = torch.from_numpy(peaks / rate_hz)
    return padded
