"""What the recordings of a split are examples of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.conditioning import ConditionTensors
from tasks.training.data.weight_files import save_tensors


@dataclass(frozen=True)
class ConditionSplit:
    """What the recordings of a split are examples of.

    Attributes:
        omega: (N,) angular heart rate in radians per second.
        wave_class: (N,) index into the simulator classes.
        condition: of N rows.
        group_condition: of N rows, what a cohort would ask for in their place (`tasks.conditions.cohort_design`).
    """

    omega: Tensor
    wave_class: Tensor
    condition: ConditionTensors
    group_condition: ConditionTensors

    def shown(self, rows: Tensor, group_share: float, experience: bool) -> ConditionTensors:
        """Conditions of some rows as a training step sees them: at random, at this share, their group's in their place.

        Args:
            experience: False hides retrieved knowledge.
        """
        condition = self.condition[rows]
        if group_share > 0:
            condition = condition.where(torch.rand(len(rows)) < group_share, self.group_condition[rows])
        return condition if experience else condition.without_knowledge()


def conditions_file(folder: Path, split: str) -> Path:
    """Where a `ConditionSplit` is kept while a generator is trained."""
    return folder / "_training" / f"conditions_{split}.safetensors"


def save_conditions(folder: Path, split: str, conditions: ConditionSplit) -> None:
    """Save what the recordings of a split are examples of."""
    tensors = {"omega": conditions.omega, "wave_class": conditions.wave_class}
    for prefix in ("condition", "group_condition"):
        tensors |= {f"{prefix}.{name}": one for name, one in getattr(conditions, prefix).tensors().items()}
    save_tensors(tensors, conditions_file(folder, split))


def load_conditions(folder: Path, split: str) -> ConditionSplit:
    """Read what the recordings of a split are examples of."""
    saved = load_file(conditions_file(folder, split))

    def conditions(prefix: str) -> ConditionTensors:
        return ConditionTensors(
            **{name.removeprefix(prefix): tensor for name, tensor in saved.items() if name.startswith(prefix)}
        )

    return ConditionSplit(
        omega=saved["omega"],
        wave_class=saved["wave_class"],
        condition=conditions("condition."),
        group_condition=conditions("group_condition."),
    )
