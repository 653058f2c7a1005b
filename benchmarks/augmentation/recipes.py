"""Recipes: how real and synthetic ECGs make the batches of a training.

Every network's training draws random crops, which shift an ECG in time, and scales each by up to a tenth. `jitter` adds
what is usual beyond that. All recipes are tuned by the same grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

Family = Literal["classical", "synthetic", "simulator"]
MIXUP_ALPHA: Final = 0.2
"""Of the beta distribution (Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018)."""
JITTER_GAIN, JITTER_NOISE_MV, JITTER_WANDER_MV = 0.2, 0.05, 0.1
"""Largest relative gain per lead, largest standard deviation of white noise, largest amplitude of baseline wander."""
LARGEST_CLASS_WEIGHT: Final = 20.0


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Attributes:
        name: in every table.
        family: `classical` for those that need real ECGs only, `synthetic` for those with the generator's, `simulator`
            for those with the simulator's alone.
        real: share of real ECGs in a batch.
        longer: factor on the number of steps.
        pretrained: whether training begins with the weights of the family's recipe without real ECGs.
        balanced: whether synthetic ECGs with rare labels are drawn more often.
        oversampled: the same for real ones.
        class_weights: whether positives of a rare label weigh more in the loss.
        mixup, jitter: whether batches are mixed, or disturbed.
        filled: whether synthetic positives fill the rare side of a two-sided task up to 1:1.
        boosting: whether gradient boosting can follow the recipe.
    """

    name: str
    family: Family = "classical"
    real: float = 1.0
    longer: float = 1.0
    pretrained: bool = False
    balanced: bool = False
    oversampled: bool = False
    class_weights: bool = False
    mixup: bool = False
    jitter: bool = False
    filled: bool = False
    boosting: bool = True

    @property
    def made_only(self) -> bool:
        """Whether it uses no real ECG, so that it is the same for every share."""
        return self.real == 0.0


REAL_ONLY: Final = "real only"
SYNTHETIC_ONLY: Final = "synthetic only"
SIMULATED_ONLY: Final = "simulated only"
HALF: Final = "half synthetic"
RECIPES: Final = {
    one.name: one
    for one in (
        Recipe(REAL_ONLY),
        Recipe("real + mixup", mixup=True, boosting=False),
        Recipe("real + jitter", jitter=True, boosting=False),
        Recipe("class-weighted", class_weights=True),
        Recipe("oversampled", oversampled=True),
        Recipe(SYNTHETIC_ONLY, "synthetic", real=0.0),
        Recipe(HALF, "synthetic", real=0.5, longer=2.0),
        Recipe("half balanced synthetic", "synthetic", real=0.5, longer=2.0, balanced=True),
        Recipe("pre-trained on synthetic", "synthetic", pretrained=True, boosting=False),
        Recipe("pre-trained, then half synthetic", "synthetic", real=0.5, longer=2.0, pretrained=True, boosting=False),
        Recipe(SIMULATED_ONLY, "simulator", real=0.0),
        Recipe("pre-trained on simulated", "simulator", pretrained=True, boosting=False),
    )
}
IMBALANCED_RECIPES: Final = {
    one.name: one
    for one in (
        Recipe(REAL_ONLY),
        Recipe("class-weighted", class_weights=True),
        Recipe("oversampled", oversampled=True),
        Recipe("oversampled + jitter", oversampled=True, jitter=True, boosting=False),
        Recipe("filled with synthetic", "synthetic", filled=True),
        Recipe("filled with simulated", "simulator", filled=True),
    )
}


def rarity(labels: np.ndarray) -> np.ndarray:
    """(n,) probability of drawing each row so that rare labels come up about as often as frequent ones.

    A row weighs one over the frequency of its rarest label; a row without a label as much as the most frequent label.

    Args:
        labels: (n, outputs), NaN where unknown.
    """
    positive = labels == 1
    counts = positive.sum(axis=0)
    per_label = np.where(counts > 0, 1.0 / np.maximum(counts, 1), 0.0)
    least = 1.0 / max(int(counts.max(initial=0)), int((~positive).all(axis=1).sum()), 1)
    weights = np.maximum((positive * per_label).max(axis=1, initial=0.0), least)
    return weights / weights.sum()


def class_weights(labels: np.ndarray) -> np.ndarray:
    """(outputs,) weight of positives in the loss: negatives over positives, from 1 to `LARGEST_CLASS_WEIGHT`."""
    positives, negatives = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    return np.where(positives > 0, np.clip(negatives / np.maximum(positives, 1), 1.0, LARGEST_CLASS_WEIGHT), 1.0)


def mixed(signal: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """mixup of a batch with itself in another order: the same shapes; a label that either lacks stays unknown."""
    seed = int(torch.randint(2**31, (1,), generator=generator))
    share = float(np.random.default_rng(seed).beta(MIXUP_ALPHA, MIXUP_ALPHA))
    other = torch.randperm(len(signal), generator=generator)
    return share * signal + (1 - share) * signal[other], share * labels + (1 - share) * labels[other]


def jittered(signal: Tensor, rate_hz: int, generator: torch.Generator) -> Tensor:
    """Disturbed ECGs: gain per lead, white noise and slow baseline wander per ECG.

    Args:
        signal: (batch, 8, samples) mV.
        rate_hz: sampling rate.
    """
    batch, leads, samples = signal.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    gain = 1 + JITTER_GAIN * (2 * uniform(batch, leads, 1) - 1)
    noise = JITTER_NOISE_MV * uniform(batch, 1, 1) * torch.randn(signal.shape, generator=generator)
    time_s = torch.arange(samples) / rate_hz
    frequency_hz, phase = 0.1 + 0.4 * uniform(batch, 1, 1), uniform(batch, leads, 1)
    wander = JITTER_WANDER_MV * uniform(batch, leads, 1) * torch.sin(2 * torch.pi * (frequency_hz * time_s + phase))
    return gain * signal + noise + wander
