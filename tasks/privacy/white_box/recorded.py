"""Recordings as a model's prior learned from them, or would have: their traits, their beats and their conditions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
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
from tasks.training.preparation.conditions import GROUP_PATIENTS
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

    @staticmethod
    def concatenate(sides: Sequence[Recorded]) -> Recorded:
        """Several below each other."""
        ecgs = EcgSet(
            pa.concat_tables([one.ecgs.table for one in sides]),
            np.concatenate([one.ecgs.signal for one in sides]),
            np.concatenate([one.ecgs.patients for one in sides]),
        )
        traits = torch.cat([one.traits for one in sides])
        condition = ConditionTensors.stack([one.condition for one in sides])
        return Recorded(ecgs, traits, condition, ConditionTensors.stack([one.group_condition for one in sides]))

    def take(self, rows: np.ndarray) -> Recorded:
        """Some of them, by index."""
        chosen = torch.from_numpy(rows)
        return Recorded(self.ecgs.take(rows), self.traits[chosen], self.condition[chosen], self.group_condition[chosen])


def learned_from(ecgs: EcgSet) -> EcgSet:
    """The recordings that a model may learn from: usable ones with a usual beat."""
    flags = ecgs.table.column("quality_flags").to_pylist()
    usable = [not any(flag.startswith(tuple(UNUSABLE_FLAGS)) for flag in found or []) for found in flags]
    beating = [len(peaks) >= FEWEST_BEATS for peaks in ecgs.r_peaks_s]
    return ecgs.take(np.array(usable) & np.array(beating))


def recorded(
    ecgs: EcgSet,
    members: EcgSet,
    generator: Generator,
    embedder: ConditionEmbedder,
    statements: StatementFacts,
    findings: Collection[str],
) -> Recorded:
    """Recordings as the prior of a generator sees them; groups are those of its training recordings."""
    condition, _ = embedder(conditions_of(ecgs.table, statements, findings))
    group_condition, _ = embedder(group_conditions(ecgs.table, members.table, GROUP_PATIENTS, statements, findings))
    return Recorded(ecgs, traits_of(ecgs, generator), condition, group_condition)


@torch.inference_mode()
def traits_of(ecgs: EcgSet, generator: Generator) -> Tensor:
    """(n, traits) of recordings, in the coordinates of a generator's prior."""
    prior, parts = generator.prior, []
    assert prior is not None
    for rows in np.array_split(np.arange(len(ecgs)), -(-len(ecgs) // AT_ONCE)):
        some, traits = ecgs.take(rows), []
        if prior.events is not None:
            traits.append(prior.events.coordinates(_amplitudes(some, generator)))
        if prior.levels is not None:
            latents, shown, _ = latents_of(some, generator)
            traits.append(prior.levels.coordinates(_maker(generator).levels_of(latents, shown)))
        parts.append(torch.cat(traits, dim=1))
    return torch.cat(parts)


@torch.inference_mode()
def latents_of(ecgs: EcgSet, generator: Generator) -> tuple[Tensor, Tensor | None, Tensor]:
    """Latents (n, C, T) of recordings, those of what the simulator draws of them, and R peaks (n, P) in seconds.

    Without a prior of beats there is no simulated ECG.
    """
    rate_hz, prior = generator.config.sampling_rate_hz, generator.prior
    r_times = _padded_s(in_samples(ecgs.r_peaks_s, rate_hz), rate_hz)
    shown = None
    if prior is not None and prior.events is not None:
        shown = _maker(generator).encoded(prior.events.nearest(_amplitudes(ecgs, generator)), r_times)
    return generator.autoencoder.encode(torch.from_numpy(ecgs.signal) / generator.lead_scale)[0].float(), shown, r_times


def _amplitudes(ecgs: EcgSet, generator: Generator) -> Tensor:
    rate_hz = generator.config.sampling_rate_hz
    return own_amplitudes(ecgs.signal, in_samples(ecgs.r_peaks_s, rate_hz), rate_hz)[0]


def _maker(generator: Generator) -> TraitMaker:
    assert generator.prior is not None
    return TraitMaker(
        prior=generator.prior,
        autoencoder=generator.autoencoder,
        lead_scale=generator.lead_scale,
        latent_mean=generator.latent_mean,
        latent_std=generator.latent_std,
        rate_hz=generator.config.sampling_rate_hz,
        samples=generator.config.samples,
    )


def _padded_s(r_peaks: list[np.ndarray], rate_hz: float) -> Tensor:
    padded = torch.full((len(r_peaks), max(len(peaks) for peaks in r_peaks)), torch.nan)
    for row, peaks in enumerate(r_peaks):
        padded[row, : len(peaks)] = torch.from_numpy(peaks / rate_hz)
    return padded
