"""The trained flow generator: conditions and seeds in, ECGs in millivolts out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.architecture import FlowConfig
from models.conditioning import NUMBERS, ConditionTensors
from models.counter_random import normal
from models.ecg.cardiac_phase import padded_times
from models.flow.guide import guide
from models.flow.sampler import guided_velocity, solve
from models.flow.spectral_filter import SpectralFilter
from models.flow.transformer import FlowTransformer, patch_samples
from models.latent_diffusion.row_groups import in_groups
from models.latent_diffusion.trait_prior import TraitPrior
from models.leads import INDEPENDENT_LEADS
from models.row_seeds import row_generator
from models.simulator.beat_events import simulated_ecg
from models.simulator.rhythm_series import RHYTHMS, draw_r_peaks


class FlowGenerator(nn.Module):
    """Prior of beats, transformer and spectral filter.

    Attributes:
        config: architectures, sampling rate and length.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        if missing := set(RHYTHMS) - config.rhythms.keys():
            raise ValueError(f"the guide needs numbers of every rhythm; missing: {', '.join(sorted(missing))}")
        self.config = config
        self.prior = TraitPrior(config.prior, beat=True, levels=None)
        self.denoiser = FlowTransformer(config.denoiser, config.sampling_rate_hz)
        self.filter = SpectralFilter(config.samples)
        # Within a tuple the copy is no part of this module.
        self._copied: tuple[object, FlowTransformer] | None = None
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.filter.gain.device

    @torch.inference_mode()
    def sample(
        self,
        condition: ConditionTensors,
        seeds: Sequence[int],
        *,
        steps: int,
        guidance: float,
        trait_guidance: float,
        guide_guidance: float = 1.0,
        rhythm_of: ConditionTensors | None = None,
        beats_of: ConditionTensors | None = None,
    ) -> Tensor:
        """Generate ECGs.

        Each row starts from noise of its own seed, and networks always see exactly `rows_at_once` rows: the same seed
        and condition give the same bits whatever else is in the batch (`models.latent_diffusion.row_groups`).

        Args:
            condition: of B rows.
            seeds: B seeds.
            steps: of Heun's method, each but the last with two evaluations; 0 leaves each row the simulator's ECG.
            guidance: classifier-free guidance scale of the condition; 1 for none.
            trait_guidance: guidance scale of the prior, by which beats drawn are typical of the condition.
            guide_guidance: classifier-free guidance scale of the simulator's ECG and cardiac phase; 1 for none.
            rhythm_of, beats_of: B conditions that RR series, or beats, are drawn for in place of `condition`, which the
                transformer sees: they tell through which part of the model a condition acts.

        Returns:
            (B, 8, samples) float32 in mV on the CPU, leads in the order of `INDEPENDENT_LEADS`.

        Raises:
            ValueError: seeds and conditions differ in number.
        """
        if len(seeds) != len(condition):
            raise ValueError(f"{len(condition)} conditions need as many seeds, got {len(seeds)}")
        if not seeds:
            return torch.empty(0, len(INDEPENDENT_LEADS), self.config.samples)

        def made(rows: list[int]) -> Tensor:
            chosen = [int(seeds[row]) for row in rows]
            times = padded_times(self.r_peaks((rhythm_of or condition)[rows], chosen)).to(self.device)
            amplitude = self._beats((beats_of or condition)[rows], chosen, trait_guidance)
            if steps == 0:
                return simulated_ecg(amplitude, times, self.config.sampling_rate_hz, self.config.samples)
            shown = self._whole_patches(guide(amplitude, times, self.filter, self.config.sampling_rate_hz))
            velocity = guided_velocity(
                self._for_sampling(), self._seen(condition[rows]), shown, guidance, guide_guidance
            )
            numbers = torch.tensor(chosen, device=self.device)
            noise = normal(numbers, "flow", (len(INDEPENDENT_LEADS), shown.shape[-1]))
            return self.filter.inverse(solve(velocity, noise, steps)[..., : self.config.samples])

        return in_groups(made, len(seeds), self.config.rows_at_once, self.device)

    def r_peaks(self, condition: ConditionTensors, seeds: Sequence[int]) -> list[np.ndarray]:
        """R peaks that the guide of generated rows has.

        Args:
            condition: of B rows; its heart rate and rhythm count. A missing heart rate is drawn from the rhythm's.
            seeds: B seeds.

        Returns:
            Per row the R peaks in seconds from the first sample, ascending.
        """
        duration_s = self.config.samples / self.config.sampling_rate_hz
        rate = condition.numbers[:, NUMBERS.index("heart_rate_bpm")].tolist()
        known = condition.present[:, NUMBERS.index("heart_rate_bpm") - len(NUMBERS)].tolist()
        return [
            draw_r_peaks(
                rhythm,
                rate[row] if known[row] else None,
                self.config.rhythms[RHYTHMS[rhythm]],
                duration_s,
                row_generator(int(seeds[row]), "rhythm"),
            )
            for row, rhythm in enumerate(condition.rhythm.tolist())
        ]

    def _beats(self, condition: ConditionTensors, seeds: list[int], guidance: float) -> Tensor:
        """Event amplitudes (B, 8, events) of a usual beat of each row."""
        generators = [row_generator(seed, "traits") for seed in seeds]
        amplitude = self.prior.draw(self._seen(condition), generators, guidance, self._precision).amplitude
        assert amplitude is not None
        return amplitude

    def _whole_patches(self, channels: Tensor) -> Tensor:
        """(B, C, samples) with zeros after it, so that patches are whole."""
        return nn.functional.pad(channels, (0, -channels.shape[-1] % patch_samples(self.config.sampling_rate_hz)))

    def _seen(self, condition: ConditionTensors) -> ConditionTensors:
        """The condition on the device, without the knowledge that this model does not use."""
        return (condition if self.config.experience else condition.without_knowledge()).to(self.device)

    def _for_sampling(self) -> FlowTransformer:
        """The transformer in the precision of sampling; its copy is kept until weights change."""
        if self._precision == torch.float32:
            return self.denoiser
        state = tuple((id(weight), weight._version, weight.device) for weight in self.denoiser.parameters())
        if self._copied is None or self._copied[0] != state:
            self._copied = state, self.denoiser.in_precision(self._precision)
        return self._copied[1]

    @property
    def _precision(self) -> torch.dtype:
        return torch.bfloat16 if self.config.precision == "bf16" else torch.float32
