"""Shadow transformers: trained like a flow's own, but on few recordings, and whole ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models import counter_random
from models.beats.prior import BeatPrior
from models.conditioning import ConditionTensors
from models.flow.config import FlowConfig
from models.flow.generator import FlowGenerator
from models.flow.guide import guide, jittered
from models.flow.objective import FlowObjective
from models.flow.spectral_filter import SpectralFilter
from models.flow.transformer import FlowTransformer, patch_samples
from models.rhythm.rhythm import Rhythm
from tasks.settings.training import TrainingSettings
from tasks.training.data.conditions import ConditionSplit
from tasks.training.data.recorded import Recorded
from tasks.training.data.weight_files import save_tensors
from tasks.training.optimisation import Average, batch_rows, learning_rate, new_optimiser, step_down, step_seed

TIMES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Noise levels at which losses are compared: times of the flow, from recordings (0) to white noise (1)."""
DRAWS: Final = 2
ROWS_AT_ONCE: Final = 64


@dataclass(frozen=True)
class FlowLearner:
    """A pool of recordings that transformers learn from; a `models.privacy.shadows.Learner`.

    Attributes:
        config: of the generator under attack.
        training: how it was trained.
        learned_from: recordings that it learned from. Shadows see fewer, each as often.
        fitted: what of the generator is fitted in closed form, by name: components of the prior and the filter.
        signal: (n, 8, samples) filtered recordings, of whole patches.
        coordinates: (n, coordinates) of their beats in the prior.
        has_ectopic: (n,) bool.
        rhythm: of n recordings.
        condition, group_condition: of n rows.
    """

    config: FlowConfig
    training: TrainingSettings
    learned_from: int
    fitted: dict[str, Tensor]
    signal: Tensor
    coordinates: Tensor
    has_ectopic: Tensor
    rhythm: Rhythm
    condition: ConditionTensors
    group_condition: ConditionTensors

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        signal_mv: Tensor,
        recorded: Recorded,
        condition: ConditionTensors,
        group_condition: ConditionTensors,
        generator: FlowGenerator,
        training: TrainingSettings,
        learned_from: int,
    ) -> FlowLearner:
        """A pool as the transformer of a generator sees it.

        Args:
            signal_mv: (n, 8, samples) recordings.
            recorded: what they show.
        """
        fitted = {
            name: one.contiguous()
            for name, one in generator.state_dict().items()
            if name.startswith(("prior.usual.", "prior.ectopic.", "filter."))
        }
        return cls(
            generator.config,
            training,
            learned_from,
            fitted,
            _whole_patches(generator.filter(signal_mv), generator.config),
            generator.prior.coordinates(recorded.beats),
            recorded.beats.has_ectopic,
            recorded.rhythm,
            condition,
            group_condition,
        )

    def losses(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """Train a transformer on some recordings and judge it on all: (n, levels), see `Learner`."""
        torch.manual_seed(step_seed(seed, 0, 0))
        network, how = self.new_network().train(), self.training.flow
        objective, (prior, spectral_filter) = FlowObjective(network), self._fitted()
        nothing = torch.zeros(len(self.signal), dtype=torch.int64)
        conditions = ConditionSplit(nothing, nothing, self.condition, self.group_condition)
        average, optimiser = Average(network, how.ema_decay), new_optimiser(network, how.learning_rate)
        steps = max(1, round(how.steps * len(rows) / self.learned_from))
        for step in range(steps):
            batch = torch.from_numpy(rows[batch_rows(seed, step, len(rows), how.batch_size)])
            torch.manual_seed(step_seed(seed, step + 1, 0))
            beats = jittered(prior, self.coordinates[batch], self.has_ectopic[batch])
            seeds = torch.randint(2**62, (len(batch),))
            shown = guide(beats, self.rhythm[batch], spectral_filter, self.config.sampling_rate_hz, seeds)
            loss = objective(
                signal=self.signal[batch],
                guide=_whole_patches(shown, self.config),
                condition=conditions.shown(batch, how.group_share, how.experience),
                guided=torch.ones(len(batch), dtype=torch.bool),
            )["loss"]
            rate = learning_rate(step, steps, how.learning_rate)
            step_down(loss, network, optimiser, average, step, rate, "shadow transformer")
        average.swap(network)
        return self.judged(network)

    def new_network(self) -> FlowTransformer:
        """A transformer of the model's shape that has yet to learn."""
        return FlowTransformer(self.config.denoiser, self.config.sampling_rate_hz)

    @torch.inference_mode()
    def judged(self, network: FlowTransformer) -> np.ndarray:
        """(n, levels) losses of a transformer under each recording's own condition and guide, with noise that is always
        the same."""
        network.eval()
        prior, spectral_filter = self._fitted()
        condition = self.condition if self.training.flow.experience else self.condition.without_knowledge()
        found = torch.zeros(len(condition), len(TIMES))
        for rows in torch.arange(len(condition)).split(ROWS_AT_ONCE):
            signal, beats = self.signal[rows], prior.beats(self.coordinates[rows], self.has_ectopic[rows])
            shown = guide(beats, self.rhythm[rows], spectral_filter, self.config.sampling_rate_hz, rows)
            shown = _whole_patches(shown, self.config)
            for level, time in enumerate(TIMES):
                for draw in range(DRAWS):
                    noise = counter_random.normal(rows, f"audit {level} {draw}", tuple(signal.shape[1:]))
                    times = torch.full((len(rows),), time)
                    predicted = network(torch.lerp(signal, noise, time), times, condition[rows], shown)
                    found[rows, level] += (predicted.float() - (noise - signal)).square().mean(dim=(1, 2)) / DRAWS
        return found.numpy()

    def _fitted(self) -> tuple[BeatPrior, SpectralFilter]:
        """A prior with the components of the one under attack, which has yet to learn, and its filter."""
        prior, spectral_filter = BeatPrior(self.config.prior), SpectralFilter(self.config.samples)
        for network, prefix in ((prior, "prior."), (spectral_filter, "filter.")):
            network.load_state_dict(
                {name.removeprefix(prefix): one for name, one in self.fitted.items() if name.startswith(prefix)},
                strict=False,
            )
        return prior.eval(), spectral_filter

    @property
    def about(self) -> dict[str, Any]:
        """What `load` needs beside the file."""
        return {"config": self.config, "training": self.training, "learned_from": self.learned_from}

    def save(self, path: Path) -> None:
        """Leave the tensors for the Ray tasks."""
        tensors = {"signal": self.signal, "coordinates": self.coordinates, "has_ectopic": self.has_ectopic}
        parts = {
            "fitted.": self.fitted,
            "rhythm.": vars(self.rhythm),
            "condition.": self.condition.tensors(),
            "group.": self.group_condition.tensors(),
        }
        tensors |= {prefix + name: one for prefix, part in parts.items() for name, one in part.items()}
        save_tensors(tensors, path)

    @classmethod
    def load(cls, path: Path, config: FlowConfig, training: TrainingSettings, learned_from: int) -> FlowLearner:
        """Read what `save` left."""
        saved = load_file(path)

        def of(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): one for name, one in saved.items() if name.startswith(prefix)}

        return cls(
            config,
            training,
            learned_from,
            of("fitted."),
            saved["signal"],
            saved["coordinates"],
            saved["has_ectopic"],
            Rhythm(**of("rhythm.")),
            ConditionTensors(**of("condition.")),
            ConditionTensors(**of("group.")),
        )


def _whole_patches(channels: Tensor, config: FlowConfig) -> Tensor:
    """(n, C, samples) without the samples of a last patch that is not whole."""
    samples = patch_samples(config.sampling_rate_hz)
    return channels[..., : channels.shape[-1] // samples * samples].contiguous()
