"""Rejection: a draw that lies nearer to a training patient's beat than other people come is drawn again.

How near other people come is measured on held-out patients: the radius is the distance to the nearest training beat
that 0.1 % of them fall below. Usual and ectopic beats have a radius each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from models.beats.beats import Beats
from models.beats.identifying_space import Space, coordinate_space, nearest_distance
from models.beats.prior import BeatPrior
from models.conditioning import ConditionTensors
from models.privacy.linkage import RADIUS_QUANTILE, low_quantile

MOST_REDRAWS: Final = 16
FEWEST_HELD_OUT: Final = 20
"""Held-out beats that a radius needs."""


@dataclass(frozen=True)
class Neighbourhood:
    """Training beats of one kind and the radius around them that draws keep out of.

    Attributes:
        space: in which distances are taken.
        training: (n, d) points of training beats.
        radius: distance below which a draw is rejected; 0 where there are too few held-out beats to say.
    """

    space: Space
    training: Tensor
    radius: float

    @classmethod
    def fitted(cls, space: Space, training: Tensor, held_out: Tensor) -> Neighbourhood:
        """From amplitudes (n, 8, events) of training beats and those of held-out patients."""
        points = space(training)
        if len(held_out) < FEWEST_HELD_OUT or not len(training):
            return cls(space, points, 0.0)
        distance = nearest_distance(space(held_out), points).cpu().double().numpy()
        return cls(space, points, low_quantile(distance, RADIUS_QUANTILE))

    def to(self, device: torch.device | str) -> Neighbourhood:
        """The same on another device, if it is on another."""
        return replace(self, training=self.training.to(device))

    def inside(self, amplitude: Tensor) -> Tensor:
        """(B,) bool: which beats lie within the radius of a training beat."""
        if self.radius == 0.0 or not len(amplitude):
            return torch.zeros(len(amplitude), dtype=torch.bool, device=amplitude.device)
        return nearest_distance(self.space(amplitude), self.training) < self.radius


@dataclass(frozen=True)
class Rejection:
    """What draws keep away from.

    Attributes:
        usual, ectopic: of usual and of ectopic beats.
    """

    usual: Neighbourhood
    ectopic: Neighbourhood

    @classmethod
    def fitted(cls, usual_space: Space, ectopic_space: Space, training: Beats, held_out: Beats) -> Rejection:
        """From beats of training and of held-out patients."""
        return cls(
            Neighbourhood.fitted(usual_space, training.usual, held_out.usual),
            Neighbourhood.fitted(
                ectopic_space, training.ectopic[training.has_ectopic], held_out.ectopic[held_out.has_ectopic]
            ),
        )

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], prior: BeatPrior) -> Rejection:
        """What `tensors` gave, in the coordinates of a prior."""
        spaces = {"usual": coordinate_space(prior.usual), "ectopic": coordinate_space(prior.ectopic)}
        return cls(
            **{
                name: Neighbourhood(space, tensors[f"{name}.training"], float(tensors[f"{name}.radius"]))
                for name, space in spaces.items()
            }
        )

    def tensors(self) -> dict[str, Tensor]:
        """Points of the training beats and radii by name, to be saved."""
        parts = {"usual": self.usual, "ectopic": self.ectopic}
        points = {f"{name}.training": part.training for name, part in parts.items()}
        return points | {
            f"{name}.radius": torch.tensor(part.radius, dtype=torch.float64) for name, part in parts.items()
        }

    def to(self, device: torch.device | str) -> Rejection:
        """The same on another device, if it is on another."""
        return Rejection(self.usual.to(device), self.ectopic.to(device))

    def rejected(self, beats: Beats) -> Tensor:
        """(B,) bool: rows with a beat within a radius."""
        found = self.usual.inside(beats.usual)
        found[beats.has_ectopic] |= self.ectopic.inside(beats.ectopic[beats.has_ectopic])
        return found


@dataclass(frozen=True)
class Drawn:
    """Beats that were drawn with rejection.

    Attributes:
        beats: of every row; NaN in refused ones.
        redraws: (B,) int64, how often each was drawn again.
        refused: (B,) bool: rows whose every draw was rejected; no ECG may be made of them.
    """

    beats: Beats
    redraws: Tensor
    refused: Tensor

    def __getitem__(self, rows: Sequence[int] | Tensor) -> Drawn:
        """The beats of some rows: indices or a boolean mask."""
        rows = rows if isinstance(rows, Tensor) else torch.as_tensor(list(rows), dtype=torch.long)
        return Drawn(self.beats[rows], self.redraws[rows], self.refused[rows])


def draw_with_rejection(
    prior: BeatPrior,
    rejection: Rejection,
    condition: ConditionTensors,
    seeds: Tensor,
    has_ectopic: Tensor | None = None,
    most_redraws: int = MOST_REDRAWS,
    candidate: int = 0,
    guidance: float = 1.0,
) -> Drawn:
    """Draw beats, and again those that are rejected, each time with the next attempt of the row's seed.

    Args:
        prior: draws.
        rejection: what is rejected.
        condition: of B rows.
        seeds: (B,) int64 row seeds.
        has_ectopic, guidance: as for `BeatPrior.draw`.
        most_redraws: after which a row is refused.
        candidate: which of a row's several draws this is.
    """
    first = candidate * (MOST_REDRAWS + 1)
    beats = prior.draw(condition, seeds, first, has_ectopic, guidance)
    usual, ectopic, there = beats.usual.clone(), beats.ectopic.clone(), beats.has_ectopic
    redraws = torch.zeros(len(seeds), dtype=torch.int64, device=seeds.device)
    pending = torch.nonzero(rejection.rejected(beats))[:, 0]
    for attempt in range(1, most_redraws + 1):
        if not len(pending):
            break
        again = prior.draw(condition[pending], seeds[pending], first + attempt, there[pending], guidance)
        usual[pending], ectopic[pending], redraws[pending] = again.usual, again.ectopic, attempt
        pending = pending[rejection.rejected(again)]
    refused = torch.zeros_like(there)
    refused[pending] = True
    usual[refused], ectopic[refused] = torch.nan, torch.nan
    return Drawn(Beats(usual, ectopic, there), redraws, refused)
