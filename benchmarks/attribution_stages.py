"""The stages between a recording and a row of a cohort: each draws one thing more than the stage before it.

This file knows `models.latent_diffusion`; another generator gets another list of stages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.architecture import SamplingCorrection
from models.conditioning import ConditionTensors
from models.latent_diffusion.generator import Generator
from models.latent_diffusion.row_groups import in_groups
from models.latent_diffusion.sampling_correction import Solved
from models.latent_diffusion.simulator_conditioning import own_amplitudes
from models.latent_diffusion.trait_prior import TraitPrior
from models.row_seeds import row_generator
from warehouse.errors import EinthovenError

Stage = tuple[str, Callable[[], np.ndarray]]
"""Name, and what makes its ECGs, (n, 8, samples) mV."""
RECONSTRUCTION: Final = "reconstruction + detail"
COHORT: Final = "cohort"


@dataclass(frozen=True)
class Recordings:
    """Recordings whose own rhythm, beats and levels stand in for what a cohort draws.

    Attributes:
        signal: (n, 8, samples) mV.
        r_peaks_s: per row the R peaks in seconds.
        condition: of n rows, as training showed them.
        seeds: n row seeds.
    """

    signal: np.ndarray
    r_peaks_s: list[np.ndarray]
    condition: ConditionTensors
    seeds: list[int]


@dataclass(frozen=True)
class DiffusionStages:
    """The chain of the latent diffusion generator, taken apart.

    Attributes:
        generator: with a guide, simulated ECGs and levels.
        own: recordings of the training split.
        cohort: conditions and seeds of as many rows of a cohort.
        sampling: steps, guidance and trait_guidance of `Generator.sample`.
    """

    generator: Generator
    own: Recordings
    cohort: tuple[ConditionTensors, list[int]]
    sampling: dict[str, float]

    def stages(self) -> list[Stage]:
        """From a recording that is encoded, decoded and given detail to a row of a cohort.

        Raises:
            EinthovenError: the generator draws no beats or no levels, so there is nothing to take apart.
        """
        config = self.generator.config
        if not (config.simulated_ecg and config.levels):
            raise EinthovenError("attribution needs a model with simulated ECGs and levels; train one with both")
        return [
            (RECONSTRUCTION, self._reconstructed),
            ("own guide and levels", lambda: self._with(own_levels=True, own_beat=True)),
            ("drawn levels", lambda: self._with(own_levels=False, own_beat=True)),
            ("drawn beat", lambda: self._with(own_levels=False, own_beat=False)),
            ("drawn rhythm", lambda: self._sampled(self.own.condition, self.own.seeds)),
            (COHORT, lambda: self._sampled(*self.cohort)),
        ]

    def beside(self) -> list[Stage]:
        """What is no part of the chain: nothing."""
        return []

    @property
    def _prior(self) -> TraitPrior:
        assert self.generator.prior is not None
        return self.generator.prior

    @cached_property
    def _amplitude(self) -> Tensor:
        """(n, 8, events): usual beats of the recordings, as far as the prior's components can say them."""
        rate_hz = self.generator.config.sampling_rate_hz
        peaks = [each * rate_hz for each in self.own.r_peaks_s]
        amplitude, _ = own_amplitudes(self.own.signal, peaks, rate_hz)
        assert self._prior.events is not None
        with torch.inference_mode():
            return self._prior.events.nearest(amplitude)

    def _reconstructed(self) -> np.ndarray:
        generator, correction = self.generator, SamplingCorrection()

        def made(rows: list[int]) -> Tensor:
            decoded = generator.reconstruct(torch.from_numpy(self.own.signal[rows])).to(generator.device)
            return self._finished(decoded, rows, correction)

        return self._grouped(made)

    def _with(self, own_levels: bool, own_beat: bool) -> np.ndarray:
        """The recordings' own R peaks, with their own levels and beats or drawn ones."""
        generator, steps = self.generator, int(self.sampling["steps"])
        correction = generator._correction(steps)

        def made(rows: list[int]) -> Tensor:
            seeds, r_peaks_s = [self.own.seeds[row] for row in rows], [self.own.r_peaks_s[row] for row in rows]
            condition, guide, traits = generator._drawn(
                self.own.condition[rows], seeds, r_peaks_s, self.sampling["trait_guidance"]
            )
            if own_beat:
                guide = generator.guide(r_peaks_s, self._amplitude[rows])
            shown, levels = generator.shown(guide), traits.levels
            if own_levels:
                assert self._prior.levels is not None
                with generator.autocast():
                    latents = generator.encode(torch.from_numpy(self.own.signal[rows])).float()
                levels = self._prior.levels.coordinates(self._prior.levels.of(latents - shown))
            latents = generator._denoised(condition, seeds, guide, levels, steps, self.sampling["guidance"])
            decoded = generator._decoded(Solved(shown, latents, levels, r_peaks_s), correction)
            return self._finished(decoded, rows, correction)

        return self._grouped(made)

    def _finished(self, decoded: Tensor, rows: list[int], correction: SamplingCorrection) -> Tensor:
        if self.generator.detail is None:
            return decoded
        return self.generator._detailed(decoded, [self.own.seeds[row] for row in rows], correction)

    def _sampled(self, condition: ConditionTensors, seeds: list[int]) -> np.ndarray:
        sampling = self.sampling
        return self.generator.sample(
            condition,
            seeds,
            steps=int(sampling["steps"]),
            guidance=sampling["guidance"],
            trait_guidance=sampling["trait_guidance"],
        ).numpy()

    def _grouped(self, made: Callable[[list[int]], Tensor]) -> np.ndarray:
        generator = self.generator
        return in_groups(made, len(self.own.signal), generator.config.rows_at_once, generator.device).numpy()


def seeds_of(count: int, seed: int) -> list[int]:
    """Row seeds for recordings, which have none of their own."""
    return torch.randint(2**31, (count,), generator=row_generator(seed, "attribution")).tolist()
