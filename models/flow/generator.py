"""The trained flow generator: conditions and seeds in, ECGs in millivolts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from models.beats.beats import Beats
from models.beats.prior import ROWS_AT_ONCE, BeatPrior
from models.beats.rejection import Drawn, Rejection, draw_with_rejection
from models.conditioning import NUMBERS, ConditionTensors
from models.counter_random import normal
from models.flow.config import FlowConfig
from models.flow.guide import guide
from models.flow.sampler import guided_velocity, solve
from models.flow.spectral_filter import SpectralFilter
from models.flow.transformer import FlowTransformer, patch_samples
from models.latent_diffusion.row_groups import in_groups, row_groups, side_by_side
from models.leads import INDEPENDENT_LEADS
from models.rhythm.drawn import draw_rhythms
from models.rhythm.rendering import render
from models.rhythm.rhythm import VENTRICULAR_PREMATURE, Rhythm
from models.rhythm.statistics import RHYTHMS

UNGUIDED: Final = 64
"""Number, among the several draws of a row, of that without guidance."""


@dataclass(frozen=True)
class Sampled:
    """ECGs, and what it took to keep their beats away from those of training patients.

    Attributes:
        signal: (B, 8, samples) float32 in mV on the CPU, leads in the order of `INDEPENDENT_LEADS`; NaN in refused
            rows.
        redraws: (B,) int64 on the CPU, how often the beats of a row were drawn again.
        refused: (B,) bool on the CPU, rows whose every draw was rejected.
    """

    signal: Tensor
    redraws: Tensor
    refused: Tensor


class FlowGenerator(nn.Module):
    """Prior of beats, transformer and spectral filter.

    Attributes:
        config: architectures, sampling rate, length, and what rhythms are drawn from.
        rejection: what drawn beats keep away from; None for nothing.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        if missing := set(RHYTHMS) - config.statistics.rhythms.keys():
            raise ValueError(f"the guide needs numbers of every rhythm; missing: {', '.join(sorted(missing))}")
        self.config = config
        self.prior = BeatPrior(config.prior)
        self.denoiser = FlowTransformer(config.denoiser, config.sampling_rate_hz)
        self.filter = SpectralFilter(config.samples)
        self.rejection: Rejection | None = None
        # Within a tuple the copy is no part of this module.
        self._copied: tuple[object, FlowTransformer] | None = None
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.filter.gain.device

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
        """The ECGs that `sampled` makes, (B, 8, samples); a refused row is NaN."""
        return self.sampled(
            condition,
            seeds,
            steps=steps,
            guidance=guidance,
            trait_guidance=trait_guidance,
            guide_guidance=guide_guidance,
            rhythm_of=rhythm_of,
            beats_of=beats_of,
        ).signal

    @torch.inference_mode()
    def sampled(
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
    ) -> Sampled:
        """Generate ECGs.

        Rhythms and beats are drawn for all rows, then ECGs in groups. Each row's random numbers come from its own seed,
        and networks always see groups of one size: the same seed and condition give the same bits whatever else is in
        the batch (`models.latent_diffusion.row_groups`).

        Args:
            condition: of B rows.
            seeds: B seeds.
            steps: of Heun's method, each but the last with two evaluations; 0 leaves each row the simulator's ECG.
            guidance: classifier-free guidance scale of the condition; 1 for none.
            trait_guidance: guidance scale of the prior, by which beats drawn are typical of the condition.
            guide_guidance: classifier-free guidance scale of the simulator's ECG and cardiac phase; 1 for none.
            rhythm_of, beats_of: B conditions that rhythms, or beats, are drawn for in place of `condition`, which the
                transformer sees: they tell through which part of the model a condition acts.

        Raises:
            ValueError: seeds and conditions differ in number, or a heart rate is not between 20 and 250 bpm.
        """
        if len(seeds) != len(condition):
            raise ValueError(f"{len(condition)} conditions need as many seeds, got {len(seeds)}")
        if not seeds:
            nothing = torch.zeros(0, dtype=torch.int64)
            return Sampled(torch.empty(0, len(INDEPENDENT_LEADS), self.config.samples), nothing, nothing > 0)
        rhythm = self.rhythms(rhythm_of or condition, seeds)
        drawn = self.beats(beats_of or condition, seeds, rhythm, trait_guidance)
        scales = {"guidance": guidance, "guide_guidance": guide_guidance}
        signal = self.around(condition, seeds, rhythm, drawn.beats, steps=steps, **scales)
        return Sampled(signal, drawn.redraws.cpu(), drawn.refused.cpu())

    @torch.inference_mode()
    def around(
        self,
        condition: ConditionTensors,
        seeds: Sequence[int],
        rhythm: Rhythm,
        beats: Beats,
        *,
        steps: int,
        guidance: float,
        guide_guidance: float = 1.0,
    ) -> Tensor:
        """Generate ECGs around given rhythms and beats, drawn or recorded.

        Args:
            rhythm, beats: of B rows, at least one, on the generator's device. Other arguments as of `sampled`.

        Returns:
            (B, 8, samples) float32 in mV on the CPU.
        """
        seen, numbers, rate_hz = self._seen(condition), self._numbers(seeds), self.config.sampling_rate_hz

        def made(rows: list[int]) -> Tensor:
            group = beats[rows], rhythm[rows]
            if steps == 0:
                return render(*group, rate_hz, self.config.samples, numbers[rows])
            shown = self._whole_patches(guide(*group, self.filter, rate_hz, numbers[rows]))
            velocity = guided_velocity(self._for_sampling(), seen[rows], shown, guidance, guide_guidance)
            noise = normal(numbers[rows], "flow", (len(INDEPENDENT_LEADS), shown.shape[-1]))
            return self.filter.inverse(solve(velocity, noise, steps)[..., : self.config.samples])

        return in_groups(made, len(seeds), self.config.rows_at_once, self.device)

    def rhythms(self, condition: ConditionTensors, seeds: Sequence[int]) -> Rhythm:
        """The rhythms that guide generated rows.

        Args:
            condition: of B rows; its heart rate and what statements say of the rhythm count. A missing heart rate is
                drawn from the rhythm's.
            seeds: B seeds.

        Returns:
            The rhythms, on the generator's device.
        """
        place = NUMBERS.index("heart_rate_bpm")
        known = condition.present[:, place - len(NUMBERS)]
        stated = condition.stated_rhythm.to(self.device)
        return draw_rhythms(
            stated[:, 0],
            stated[:, 1],
            torch.where(known, condition.numbers[:, place], torch.nan).to(self.device),
            self.config.statistics,
            self.config.samples / self.config.sampling_rate_hz,
            self._numbers(seeds),
        )

    @torch.inference_mode()
    def beats(self, condition: ConditionTensors, seeds: Sequence[int], rhythm: Rhythm, guidance: float) -> Drawn:
        """Beats of each row, with an ectopic one where the rhythm has ventricular premature beats.

        A row whose draws are all rejected with guidance, which makes them alike, is drawn as often without.

        Args:
            condition: of B rows, at least one.
            seeds: B seeds.
            rhythm: of each row, on the generator's device.
            guidance: scale of the prior.
        """
        seen, numbers = self._seen(condition), self._numbers(seeds)
        ectopic = (rhythm.kinds == VENTRICULAR_PREMATURE).any(dim=1)
        if self.rejection is not None:
            self.rejection = self.rejection.to(self.device)

        def drawn(rows: list[int]) -> Drawn:
            asked, there = (seen[rows], numbers[rows]), ectopic[rows]
            if self.rejection is None:
                nothing = torch.zeros(len(rows), dtype=torch.int64, device=self.device)
                return Drawn(self.prior.draw(*asked, has_ectopic=there, guidance=guidance), nothing, nothing > 0)
            found = draw_with_rejection(self.prior, self.rejection, *asked, there, guidance=guidance)
            again = torch.nonzero(found.refused)[:, 0]
            if not len(again):
                return found
            of_rows = asked[0][again], asked[1][again], there[again]
            other = draw_with_rejection(self.prior, self.rejection, *of_rows, candidate=UNGUIDED)
            found.beats.usual[again], found.beats.ectopic[again] = other.beats.usual, other.beats.ectopic
            found.redraws[again] += 1 + other.redraws
            found.refused[again] = other.refused
            return found

        groups = row_groups(len(numbers), ROWS_AT_ONCE)
        parts = side_by_side(drawn, groups, self.device)
        beats = Beats.stack([part.beats for part in parts])
        redraws, refused = (torch.cat([getattr(part, name) for part in parts]) for name in ("redraws", "refused"))
        return Drawn(beats[: len(numbers)], redraws[: len(numbers)], refused[: len(numbers)])

    def _whole_patches(self, channels: Tensor) -> Tensor:
        """(B, C, samples) with zeros after it, so that patches are whole."""
        return nn.functional.pad(channels, (0, -channels.shape[-1] % patch_samples(self.config.sampling_rate_hz)))

    def _numbers(self, seeds: Sequence[int]) -> Tensor:
        """Row seeds, (B,) int64, on the device."""
        return torch.tensor([int(seed) for seed in seeds], dtype=torch.int64, device=self.device)

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
