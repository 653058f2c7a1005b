"""What one training learns from: real and made ECGs with labels, and how often each row is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.augmentation.data import AugmentationError, Ecgs
from benchmarks.augmentation.labelling import Labelling
from benchmarks.augmentation.recipes import Recipe, rarity
from benchmarks.augmentation.shares import imbalanced_rows, share_of_patients


@dataclass(frozen=True)
class Examples:
    """Labelled rows of one origin.

    Attributes:
        ecgs: n ECGs.
        labels: (n, outputs) float32, NaN where unknown.
        share: of a batch that comes from here.
        probability: (n,) of drawing each row, or None to go through all rows in turn.
        real: whether they were recorded.
    """

    ecgs: Ecgs
    labels: np.ndarray
    share: float
    probability: np.ndarray | None = None
    real: bool = False

    def batches(self, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Row numbers of each step, (size,); without probabilities, all rows come before any comes again."""
        queue = torch.empty(0, dtype=torch.long)
        for _ in range(steps):
            if self.probability is not None:
                yield torch.multinomial(torch.from_numpy(self.probability), size, replacement=True, generator=generator)
                continue
            while len(queue) < size:
                queue = torch.cat([queue, torch.randperm(len(self.labels), generator=generator)])
            chosen, queue = queue[:size], queue[size:]
            yield chosen


def examples_of(
    recipe: Recipe, labelling: Labelling, train: Ecgs, made: Ecgs | None, share: float, draw: int
) -> list[Examples]:
    """The examples of a recipe: real ones, made ones, or both.

    Args:
        made: synthetic or simulated ECGs; None for recipes that draw none of them.
        share: of the training patients.
        draw: seed of the share's draw.

    Raises:
        AugmentationError: no ECG is left to learn from, or made ECGs are needed and missing.
    """
    parts: list[Examples] = []
    if recipe.real > 0:
        real, labels = _labelled(train.take(share_of_patients(train.patients, share, draw)), labelling)
        if labelling.ratio:
            rows = imbalanced_rows(labels[:, 0] == 1, real.patients, labelling.ratio, draw)
            real, labels = real.take(rows), labels[rows]
        parts.append(Examples(real, labels, recipe.real, rarity(labels) if recipe.oversampled else None, real=True))
    if recipe.real < 1 or recipe.filled:
        if made is None:
            raise AugmentationError(f"the recipe {recipe.name!r} needs synthetic or simulated ECGs, and got none")
        found, labels = _labelled(made, labelling)
        if recipe.filled:
            missing = int((parts[0].labels[:, 0] == 0).sum() - (parts[0].labels[:, 0] == 1).sum())
            rows = np.flatnonzero(labels[:, 0] == 1)[:missing]
            found, labels = found.take(rows), labels[rows]
            parts = _joined(parts[0], found, labels)
        else:
            parts.append(Examples(found, labels, 1 - recipe.real, rarity(labels) if recipe.balanced else None))
    if not parts or any(len(part.labels) == 0 for part in parts):
        raise AugmentationError(f"{labelling.name}: no ECG to learn from by the recipe {recipe.name!r}")
    return parts


def _joined(real: Examples, made: Ecgs, labels: np.ndarray) -> list[Examples]:
    """Real rows and made positives, drawn as if they were one set: a row of either is as likely."""
    if not len(made):
        return [real]
    total = len(real.labels) + len(labels)
    return [
        Examples(real.ecgs, real.labels, len(real.labels) / total, real=True),
        Examples(made, labels, len(labels) / total),
    ]


def _labelled(ecgs: Ecgs, labelling: Labelling) -> tuple[Ecgs, np.ndarray]:
    """The ECGs that say something about the labels, and what."""
    labels = labelling.of(ecgs)
    known = np.isfinite(labels).any(axis=1)
    return ecgs.take(known), labels[known]
