"""The trained generator: conditions and seeds in, ECGs in millivolts out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.architecture import GeneratorConfig
from models.autoencoder import Autoencoder
from models.beat_decoder import BeatDecoder
from models.cardiac_phase import padded_times, phase_channel_count, phase_channels
from models.conditioning import NUMBERS, ConditionTensors
from models.denoiser import Denoiser
from models.detail import DetailHead
from models.diffusion import initial_noise, noise_schedule, noised, solve
from models.distillation import guided_velocity
from models.r_peaks import locate_r_peaks
from models.rhythm_series import RHYTHMS, draw_r_peaks
from models.row_seeds import row_generator


class Generator(nn.Module):
    """Autoencoder, beat decoder, denoiser and detail head with the constants that tie them together.

    Attributes:
        config: architectures, sampling rate, length and scales.
    """

    lead_scale: Tensor
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        latent_channels = config.autoencoder.latent_channels
        self.config = config
        self.autoencoder = Autoencoder(config.autoencoder)
        self.beat_decoder = BeatDecoder(
            config.beat_decoder, latent_channels, config.autoencoder.downsampling, config.sampling_rate_hz
        )
        channels = phase_channel_count(config.autoencoder.downsampling) if config.phase_channels else 0
        if config.phase_channels and (missing := set(RHYTHMS) - config.rhythms.keys()):
            raise ValueError(f"phase channels need numbers of every rhythm; missing: {', '.join(sorted(missing))}")
        self.denoiser = Denoiser(config.denoiser, latent_channels, channels)
        self.student = None
        if config.distilled_guidance is not None:
            self.student = Denoiser(config.denoiser, latent_channels, channels)
        self.detail = DetailHead(config.detail, config.sampling_rate_hz) if config.detail else None
        self.register_buffer("lead_scale", torch.tensor(config.lead_scale_mv)[:, None], persistent=False)
        self.register_buffer("latent_mean", torch.tensor(config.latent_mean)[:, None], persistent=False)
        self.register_buffer("latent_std", torch.tensor(config.latent_std)[:, None], persistent=False)
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.lead_scale.device

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Channels and steps of a latent."""
        return self.config.autoencoder.latent_channels, -(-self.config.samples // self.config.autoencoder.downsampling)

    @torch.inference_mode()
    def sample(
        self,
        condition: ConditionTensors,
        seeds: Sequence[int],
        steps: int = 16,
        guidance: float = 2.0,
        fast: bool = False,
    ) -> Tensor:
        """Generate ECGs.

        Each row starts from noise of its own seed. Matrix kernels may round differently for different batch sizes, so
        the networks always see exactly `rows_at_once` rows, the last ones repeated if need be: the same seed and
        condition give the same bits whatever else is in the batch.

        A denoiser with cardiac-phase channels sees, in both branches of guidance, the RR series drawn from the row's
        seed, rhythm and heart rate. Guidance then amplifies what statements, age and sex mean for beats at these
        places; without the series in the unconditional branch it would also amplify that there are beats at all, and
        exaggerate every QRS complex. A detail head adds to each decoded signal what the autoencoder smooths away.

        Args:
            condition: of B rows.
            seeds: B seeds.
            steps: denoising steps.
            guidance: classifier-free guidance scale; 1 for none.
            fast: let the student do it, which needs one network pass per step where guidance needs two; `guidance` must
                be the scale that it learned.

        Returns:
            (B, 8, samples) float32 in mV on the CPU, leads in the order of `INDEPENDENT_LEADS`.

        Raises:
            ValueError: seeds and conditions differ in number, or there is no student for this guidance.
        """
        if fast and guidance != self.config.distilled_guidance:
            learned = self.config.distilled_guidance
            raise ValueError(
                f"this model's student has learned guidance {learned:g}, not {guidance:g}"
                if learned is not None
                else "this model has no student; train it with training.distillation.steps above 0"
            )
        if len(seeds) != len(condition):
            raise ValueError(f"{len(condition)} conditions need as many seeds, got {len(seeds)}")
        if not seeds:
            return torch.empty(0, len(self.config.lead_scale_mv), self.config.samples)
        generated = []
        for rows in self._row_groups(len(seeds)):
            signal = self._sample_rows(condition[rows], [int(seeds[row]) for row in rows], steps, guidance, fast)
            generated.append(signal[: len(seeds) - rows[0]].cpu())
        return torch.cat(generated)

    def r_peaks(self, condition: ConditionTensors, seeds: Sequence[int]) -> list[np.ndarray]:
        """R peaks that the phase channels of generated rows mark.

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

    def _phase(self, r_peaks_s: Sequence[np.ndarray]) -> Tensor:
        """Cardiac-phase channels (B, K, T), each row made by itself so that its bits do not depend on the others."""
        steps, downsampling = self.latent_shape[1], self.config.autoencoder.downsampling
        rows = [
            phase_channels(padded_times([one]), steps, downsampling, self.config.sampling_rate_hz) for one in r_peaks_s
        ]
        return torch.cat(rows).to(self.device)

    def _sample_rows(
        self, condition: ConditionTensors, seeds: list[int], steps: int, guidance: float, fast: bool
    ) -> Tensor:
        phase = self._phase(self.r_peaks(condition, seeds)) if self.config.phase_channels else None
        condition = condition.to(self.device)
        if not self.config.experience:
            condition = condition.without_knowledge()
        # The student's one branch has the guidance in it.
        denoiser, scale = (self.student or self.denoiser, 1.0) if fast else (self.denoiser, guidance)

        def denoise(latents: Tensor, time: Tensor) -> Tensor:
            with self._autocast():
                return guided_velocity(denoiser, latents, time, condition, phase, scale)

        noise = initial_noise(seeds, self.latent_shape, self.device)
        signal = self.decode(solve(denoise, noise, self.config.timesteps, steps))
        return signal if self.detail is None else self._detailed(signal, seeds)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def encode(self, signal_mv: Tensor) -> Tensor:
        """(B, 8, samples) in mV to standardised latents (B, channels, T): the posterior's mean."""
        mean, _ = self.autoencoder.encode(signal_mv.to(self.device) / self.lead_scale)
        return (mean - self.latent_mean) / self.latent_std

    def decode(self, latents: Tensor) -> Tensor:
        """Standardised latents (B, channels, T) to (B, 8, samples) in mV: the decoder alone, without detail."""
        return (
            self.autoencoder.decode(latents * self.latent_std + self.latent_mean, self.config.samples) * self.lead_scale
        )

    @torch.inference_mode()
    def add_detail(self, signal_mv: Tensor, seeds: Sequence[int]) -> Tensor:
        """Give decoded signals the noise and fine detail that the autoencoder smooths away.

        `sample` does so already; this is for signals that come from elsewhere, such as reconstructions.

        Args:
            signal_mv: (B, 8, samples) in mV, from `decode` or `reconstruct`.
            seeds: B seeds; each row's detail is a function of its signal and its seed.

        Returns:
            (B, 8, samples) float32 in mV on the CPU.

        Raises:
            ValueError: the model has no detail head, or seeds and signals differ in number.
        """
        if self.detail is None:
            raise ValueError("this model was trained without a detail head (training.detail.enabled)")
        if len(seeds) != len(signal_mv):
            raise ValueError(f"{len(signal_mv)} signals need as many seeds, got {len(seeds)}")
        found = [torch.empty(0, *signal_mv.shape[1:])]
        for rows in self._row_groups(len(seeds)):
            signal = self._detailed(signal_mv[rows].to(self.device), [int(seeds[row]) for row in rows])
            found.append(signal[: len(seeds) - rows[0]].cpu())
        return torch.cat(found)

    def _detailed(self, signal_mv: Tensor, seeds: list[int]) -> Tensor:
        assert self.detail is not None
        precision = torch.bfloat16 if self.config.precision == "bf16" else torch.float32
        generators = [row_generator(seed, "detail") for seed in seeds]
        return self.detail.detailed(signal_mv / self.lead_scale, generators, precision) * self.lead_scale

    def _row_groups(self, rows: int) -> list[list[int]]:
        """Row numbers in groups of exactly `rows_at_once`, the last row repeated to fill the last group."""
        at_once = self.config.rows_at_once
        return [[min(first + offset, rows - 1) for offset in range(at_once)] for first in range(0, rows, at_once)]

    @torch.inference_mode()
    def reconstruct(self, signal_mv: Tensor) -> Tensor:
        """Encode and decode: what the autoencoder alone loses. (B, 8, samples) in mV to the same, on the CPU."""
        return self.decode(self.encode(signal_mv)).cpu()

    def decode_beat(self, latents: Tensor) -> Tensor:
        """Standardised latents (B, channels, T) to the canonical beat (B, 8, beat samples) in mV on the beat grid."""
        return self.beat_decoder(latents * self.latent_std + self.latent_mean).beat * self.lead_scale

    @torch.inference_mode()
    def denoising_loss(self, signal_mv: Tensor, condition: ConditionTensors, steps: Sequence[int], seed: int) -> Tensor:
        """Mean squared error of predicted v, the quantity that membership attacks on diffusion models look at.

        Phase channels come from the recording's own R peaks, as in training.

        Args:
            signal_mv: (B, 8, samples) in mV.
            condition: of B rows.
            steps: time steps to average over.
            seed: of the noise; every row gets the same noise, so that rows can be compared.

        Returns:
            (B,) loss.
        """
        schedule = noise_schedule(self.config.timesteps)
        latents = self.encode(signal_mv)
        condition = (
            condition.to(self.device) if self.config.experience else condition.to(self.device).without_knowledge()
        )
        phase = None
        if self.config.phase_channels:
            rate_hz = self.config.sampling_rate_hz
            phase = self._phase([peaks / rate_hz for peaks in locate_r_peaks(signal_mv.cpu().numpy(), rate_hz)])
        losses = []
        for offset, step in enumerate(steps):
            noise = initial_noise([seed + offset], self.latent_shape, self.device).expand_as(latents)
            time = torch.full((len(latents),), step, device=self.device)
            noisy, wanted = noised(schedule, latents, noise, time)
            with self._autocast():
                predicted = self.denoiser(noisy, time, condition, phase).float()
            losses.append((predicted - wanted).square().mean(dim=(1, 2)))
        return torch.stack(losses).mean(dim=0).cpu()
