"""The trained generator: conditions and seeds in, ECGs in millivolts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from models.architecture import GeneratorConfig, SamplingCorrection, SolverRule
from models.conditioning import NUMBERS, ConditionTensors
from models.ecg.cardiac_phase import padded_times, phase_channels
from models.latent_diffusion.autoencoder import Autoencoder
from models.latent_diffusion.beat_decoder import BeatDecoder
from models.latent_diffusion.beat_variation import beat_windows, factor_back, steadier
from models.latent_diffusion.denoiser import Denoiser
from models.latent_diffusion.detail_head import DetailHead
from models.latent_diffusion.diffusion import Denoise, initial_noise, solve
from models.latent_diffusion.fitted_solver import DIGITS, fit_rules, solve_by
from models.latent_diffusion.guidance import guided
from models.latent_diffusion.residual_levels import Levels, told
from models.latent_diffusion.row_groups import in_groups, row_groups, side_by_side
from models.latent_diffusion.sampling_correction import CORRECTED_ON, Solved
from models.latent_diffusion.simulator_conditioning import guide_channel_count
from models.latent_diffusion.trait_prior import TraitPrior, Traits
from models.row_seeds import row_generator
from models.simulator.beat_events import simulated_ecg
from models.simulator.rhythm_series import RHYTHMS, draw_r_peaks


class Generator(nn.Module):
    """Autoencoder, beat decoder, prior of traits, denoiser and detail head with the constants that tie them together.

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
        channels = guide_channel_count(
            config.phase_channels, config.simulated_ecg, config.autoencoder.downsampling, latent_channels
        )
        if channels and (missing := set(RHYTHMS) - config.rhythms.keys()):
            raise ValueError(f"the guide needs numbers of every rhythm; missing: {', '.join(sorted(missing))}")
        self.prior, levels = None, None
        if config.prior is not None:
            step_hz = config.sampling_rate_hz / config.autoencoder.downsampling
            levels = Levels(latent_channels, step_hz) if config.levels else None
            self.prior = TraitPrior(config.prior, config.simulated_ecg, levels)
        self.denoiser = Denoiser(config.denoiser, latent_channels, channels, levels.size if levels else 0)
        self.detail = DetailHead(config.detail, config.sampling_rate_hz) if config.detail else None
        self.register_buffer("lead_scale", torch.tensor(config.lead_scale_mv)[:, None], persistent=False)
        self.register_buffer("latent_mean", torch.tensor(config.latent_mean)[:, None], persistent=False)
        self.register_buffer("latent_std", torch.tensor(config.latent_std)[:, None], persistent=False)
        # Within a tuple the copy is no part of this module.
        self._copied: tuple[object, Denoiser] | None = None
        self._corrections: dict[object, SamplingCorrection] = {}
        self._rules = {len(rule.times): rule for rule in config.solvers}
        self.eval()

    @property
    def has_guide(self) -> bool:
        """Whether the denoiser sees a guide."""
        return self.config.phase_channels or self.config.simulated_ecg

    @property
    def _nothing(self) -> ConditionTensors:
        """No condition, for a group of rows."""
        slots = self.config.denoiser.statement_tokens, self.config.denoiser.knowledge_tokens
        return ConditionTensors.nothing(self.config.rows_at_once, *slots)

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

        A denoiser with a guide sees, in both branches of guidance, the RR series drawn from the row's seed, rhythm and
        heart rate, and an ECG that the simulator makes of it with a beat drawn for the row's condition. Guidance then
        amplifies what statements, age and sex mean for beats at these places; without the series in the unconditional
        branch it would also amplify that there are beats at all, and exaggerate every QRS complex. How far the result
        departs from that ECG, per latent channel and frequency band, is drawn as well, and the denoiser is told; what
        it makes is scaled by what solvers of so few steps lose of that on average
        (`models.latent_diffusion.residual_levels`). A detail head adds to each decoded signal what the autoencoder
        smooths away.

        Args:
            condition: of B rows.
            seeds: B seeds.
            steps: denoising steps, by the solver fitted for so many where there is one, whatever the guidance, else by
                UniPC, whose correction is found before the first call's rows; 0 leaves each row the ECG that the
                simulator shows the denoiser, decoded from its latent and with detail, which tells what the denoiser
                adds.
            guidance: classifier-free guidance scale; 1 for none.
            trait_guidance: guidance scale of the prior, by which beats and levels drawn are typical of the condition.
            rhythm_of, beats_of: B conditions that RR series, or beats and levels, are drawn for in place of
                `condition`, which the denoiser sees: they tell through which part of the model a condition acts.

        Returns:
            (B, 8, samples) float32 in mV on the CPU, leads in the order of `INDEPENDENT_LEADS`.

        Raises:
            ValueError: seeds and conditions differ in number, there is no simulated ECG for 0 steps, or there is
                guidance by the guide, which both branches see.
        """
        if guide_guidance != 1:
            raise ValueError("diffusion in the latent has no guidance by its guide; leave guide_guidance at 1")
        if steps == 0 and not self.config.simulated_ecg:
            raise ValueError("this model sees no simulated ECG that 0 denoising steps could leave as it is")
        if len(seeds) != len(condition):
            raise ValueError(f"{len(condition)} conditions need as many seeds, got {len(seeds)}")
        if not seeds:
            return torch.empty(0, len(self.config.lead_scale_mv), self.config.samples)
        correction = self._correction(steps)

        def made(rows: list[int]) -> Tensor:
            chosen = [int(seeds[row]) for row in rows]
            drawn_for = [(one or condition)[rows] for one in (rhythm_of, beats_of)]
            solved = self._solved(condition[rows], chosen, steps, guidance, trait_guidance, *drawn_for)
            signal = self._decoded(solved, correction)
            return signal if self.detail is None else self._detailed(signal, chosen, correction)

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

    def guide(self, r_peaks_s: Sequence[np.ndarray], amplitude: Tensor | None) -> Tensor:
        """The guide (B, K, T): cardiac phase, and simulated ECGs of beats with these (B, 8, events) amplitudes.

        Networks see `rows_at_once`, so that bits do not depend on other rows.
        """
        rate_hz, downsampling = self.config.sampling_rate_hz, self.config.autoencoder.downsampling
        parts, times = [], padded_times(r_peaks_s)
        if self.config.phase_channels:
            parts.append(phase_channels(times, self.latent_shape[1], downsampling, rate_hz).to(self.device))
        if amplitude is not None:
            signal = simulated_ecg(amplitude.cpu(), times, rate_hz, self.config.samples)
            with self.autocast():
                parts.append(self.encode(signal).float())
        return torch.cat(parts, dim=1)

    def _solved(
        self,
        condition: ConditionTensors,
        seeds: list[int],
        steps: int,
        guidance: float,
        trait_guidance: float,
        rhythm_of: ConditionTensors | None = None,
        beats_of: ConditionTensors | None = None,
    ) -> Solved:
        r_peaks_s = self.r_peaks(rhythm_of or condition, seeds) if self.has_guide else []
        _, guide, traits = self._drawn(beats_of or condition, seeds, r_peaks_s, trait_guidance)
        condition = self._seen(condition)
        shown = self.shown(guide)
        latents = self._denoised(condition, seeds, guide, traits.levels, steps, guidance) if steps else shown
        return Solved(shown, latents, traits.levels, r_peaks_s)

    def _decoded(self, solved: Solved, correction: SamplingCorrection) -> Tensor:
        """Signals (B, 8, samples) in mV of latents, with a correction of levels and of variation from beat to beat."""
        latents = solved.latents
        if correction.level_gain and self.prior is not None and self.prior.levels is not None:
            gain = torch.tensor(correction.level_gain, device=self.device)
            latents = solved.shown + self.prior.levels.louder(latents - solved.shown, gain)
        with self.autocast():
            signal = self.decode(latents).float()
        if correction.variation_factor == 1.0:
            return signal
        return steadier(signal, self._windows([solved]), self.config.sampling_rate_hz, correction.variation_factor)

    def _windows(self, solved: Sequence[Solved]) -> Tensor:
        whole = [peaks for one in solved for peaks in one.r_peaks_s]
        return beat_windows(whole, self.config.samples, self.config.sampling_rate_hz)

    def shown(self, guide: Tensor | None) -> Tensor:
        """The latents (B, C, T) of the simulated ECGs in a guide; zero, the mean of recordings, without any."""
        if guide is None or not self.config.simulated_ecg:
            return torch.zeros(self.latent_shape, device=self.device)
        return guide[:, -self.latent_shape[0] :]

    def _drawn(
        self, condition: ConditionTensors, seeds: list[int], r_peaks_s: Sequence[np.ndarray], guidance: float
    ) -> tuple[ConditionTensors, Tensor | None, Traits]:
        """What the denoiser is given: conditions on the device, the guide, and traits, drawn from the rows' seeds."""
        condition = self._seen(condition)
        traits = Traits(None, None)
        if self.prior is not None:
            generators = [row_generator(seed, "traits") for seed in seeds]
            traits = self.prior.draw(condition, generators, guidance, self._precision)
        return condition, self.guide(r_peaks_s, traits.amplitude) if self.has_guide else None, traits

    def _seen(self, condition: ConditionTensors) -> ConditionTensors:
        """The condition on the device, without the knowledge that this model does not use."""
        return (condition if self.config.experience else condition.without_knowledge()).to(self.device)

    def _denoised(
        self,
        condition: ConditionTensors,
        seeds: list[int],
        guide: Tensor | None,
        levels: Tensor | None,
        steps: int,
        guidance: float,
    ) -> Tensor:
        """Latents (B, C, T) as the solver leaves them."""
        levels = told(levels, self.config.simulated_ecg)
        denoise = guided(self._for_sampling(self.denoiser), condition, guide, levels, guidance)
        noise, rule = initial_noise(seeds, self.latent_shape, self.device), self._rules.get(steps)
        return solve_by(rule, denoise, noise) if rule else solve(denoise, noise, steps)

    @torch.inference_mode()
    def fitted_solvers(self) -> tuple[SolverRule, ...]:
        """Solvers of few steps for this denoiser with their corrections, fitted to recordings without a condition and
        of set seeds."""

        def problem(seeds: list[int]) -> tuple[Denoise, Solved]:
            r_peaks_s = self.r_peaks(self._nothing, seeds) if self.has_guide else []
            condition, guide, traits = self._drawn(self._nothing, seeds, r_peaks_s, 1.0)
            levels = told(traits.levels, self.config.simulated_ecg)
            denoise = guided(self._for_sampling(self.denoiser), condition, guide, levels, 1.0)
            noise = initial_noise(seeds, self.latent_shape, self.device)
            return denoise, Solved(self.shown(guide), noise, traits.levels, r_peaks_s)

        groups = row_groups(CORRECTED_ON, self.config.rows_at_once)
        problems = side_by_side(problem, groups, self.device)
        rules = []
        for rule, latents in fit_rules([(denoise, unsolved.latents) for denoise, unsolved in problems]):
            solved = [replace(one, latents=found) for (_, one), found in zip(problems, latents, strict=True)]
            rules.append(rule.model_copy(update={"correction": self._correction_of(solved)}))
        return tuple(rules)

    def _correction(self, steps: int) -> SamplingCorrection:
        """That of the fitted solver; where there is none, found once on recordings without a condition, with which
        guidance does nothing, and of set seeds: the same whatever is generated."""
        if rule := self._rules.get(steps):
            return rule.correction
        if self.detail is None and (self.prior is None or self.prior.levels is None):
            return SamplingCorrection()
        networks = (self.denoiser, self.prior, self.autoencoder, self.detail)
        key = (steps, *(_state(network) for network in networks if network is not None))
        if key not in self._corrections:
            made = lambda seeds: self._solved(self._nothing, seeds, steps, 1.0, 1.0)  # noqa: E731
            solved = side_by_side(made, row_groups(CORRECTED_ON, self.config.rows_at_once), self.device)
            self._corrections[key] = self._correction_of(solved)
        return self._corrections[key]

    def _correction_of(self, solved: Sequence[Solved]) -> SamplingCorrection:
        """What a solver that has made these loses on average."""
        correction, rate_hz = SamplingCorrection(), self.config.sampling_rate_hz
        levels = self.prior.levels if self.prior is not None else None
        if levels is not None and not all(one.latents is one.shown for one in solved):
            drawn = torch.cat([one.levels for one in solved if one.levels is not None])
            gain = levels.correction(torch.cat([one.latents - one.shown for one in solved]), drawn)
            correction = SamplingCorrection(level_gain=_rounded(gain))
        decoded = torch.cat([self._decoded(one, correction) for one in solved])
        if correction.level_gain and len(windows := self._windows(solved)):
            uncorrected = torch.cat([self._decoded(one, SamplingCorrection()) for one in solved])
            factor = round(factor_back(decoded, uncorrected, windows, rate_hz), DIGITS)
            correction = correction.model_copy(update={"variation_factor": factor})
            decoded = steadier(decoded, windows, rate_hz, factor)
        if self.detail is not None:
            offset = _rounded(self.detail.unlike_recordings(decoded / self.lead_scale))
            correction = correction.model_copy(update={"descriptor_offset": offset})
        return correction

    def _for_sampling(self, denoiser: Denoiser) -> Denoiser:
        """A denoiser in the precision of sampling; its copy is kept until weights change."""
        if self._precision == torch.float32:
            return denoiser
        state = _state(denoiser)
        if self._copied is None or self._copied[0] != state:
            self._copied = state, denoiser.in_precision(self._precision)
        return self._copied[1]

    @property
    def _precision(self) -> torch.dtype:
        return torch.bfloat16 if self.config.precision == "bf16" else torch.float32

    def autocast(self) -> torch.autocast:
        """The precision of networks other than the denoiser's copy for sampling."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16)

    def encode(self, signal_mv: Tensor) -> Tensor:
        """(B, 8, samples) in mV to standardised latents (B, channels, T): the posterior's mean."""
        mean, _ = self.autoencoder.encode(signal_mv.to(self.device) / self.lead_scale)
        return (mean - self.latent_mean) / self.latent_std

    def decode(self, latents: Tensor) -> Tensor:
        """Standardised latents (B, channels, T) to (B, 8, samples) in mV: the decoder alone, without detail."""
        return (
            self.autoencoder.decode(latents * self.latent_std + self.latent_mean, self.config.samples) * self.lead_scale
        )

    def _detailed(self, signal_mv: Tensor, seeds: list[int], correction: SamplingCorrection) -> Tensor:
        assert self.detail is not None
        generators = [row_generator(seed, "detail") for seed in seeds]
        offset = torch.tensor(correction.descriptor_offset, device=self.device) if correction.descriptor_offset else 0.0
        signal = signal_mv / self.lead_scale
        return self.detail.detailed(signal, generators, self._precision, offset) * self.lead_scale

    @torch.inference_mode()
    def reconstruct(self, signal_mv: Tensor) -> Tensor:
        """Encode and decode: what the autoencoder alone loses. (B, 8, samples) in mV to the same, on the CPU."""
        return self.decode(self.encode(signal_mv)).cpu()


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(round(value, DIGITS) for value in values.tolist())


def _state(network: nn.Module) -> tuple[tuple[int, int, torch.device], ...]:
    """Something that changes with a network's weights."""
    return tuple((id(weight), weight._version, weight.device) for weight in network.parameters())
