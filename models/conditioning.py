"""The condition of an ECG as tensors, and the encoder that turns it into tokens for cross-attention.

A condition has six fields: report text, statements, retrieved knowledge, age, sex, heart rate. Each is one or more
tokens, so that attention has something to choose between. Any field may be missing: a learned null token stands in for
it, which is also what classifier-free guidance (Ho and Salimans 2022) uses for the unconditional branch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import torch
from torch import Tensor, nn

TEXT_SIZE: Final = 384
"""Numbers in a text embedding (MiniLM)."""

NUMBERS: Final = ("age_years", "sex", "heart_rate_bpm")
"""Columns of `ConditionTensors.numbers`: years, 0 male or 1 female, beats per minute."""

FIELDS: Final = ("text", "statements", "knowledge", *NUMBERS)
"""Fields of a condition in token order."""


@dataclass(frozen=True)
class ConditionTensors:
    """Conditions of a batch.

    Attributes:
        text: (B, 384) embedding of the report text.
        statements: (B, S, 384) embedding of each statement with its likelihood in words, then of coded views.
        knowledge: (B, K, 384) embedding of each retrieved knowledge entry.
        numbers: (B, 3) age in years, sex (0 male, 1 female), heart rate in beats per minute.
        present: (B, 1 + S + K + 3) bool, False where a token is missing; order text, statements, knowledge, age, sex,
            heart rate. What a missing token holds does not matter.
        rhythm: (B,) int64, index into `models.simulator.rhythm_series.RHYTHMS`: the rhythm that the statements imply, 0
            where they imply none. The denoiser does not see it; the RR series of a generated row is drawn from it. None
            stands for all 0.
        stated_rhythm: (B, 2) int64, indices into `RHYTHMS` and `ECTOPIES` of `models.rhythm.statistics`: the rhythm
            and the premature beats that the statements imply, from which a flow draws; as `rhythm` otherwise.
    """

    text: Tensor
    statements: Tensor
    knowledge: Tensor
    numbers: Tensor
    present: Tensor
    rhythm: Tensor = None  # type: ignore[assignment]
    stated_rhythm: Tensor = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        rows = self.text.shape[0]
        if self.rhythm is None:
            object.__setattr__(self, "rhythm", torch.zeros(rows, dtype=torch.int64, device=self.text.device))
        if self.stated_rhythm is None:
            object.__setattr__(self, "stated_rhythm", torch.zeros(rows, 2, dtype=torch.int64, device=self.text.device))
        tokens = 1 + self.statements.shape[1] + self.knowledge.shape[1] + len(NUMBERS)
        if self.present.shape != (rows, tokens) or self.numbers.shape != (rows, len(NUMBERS)):
            raise ValueError(
                f"{rows} conditions of {tokens} tokens need present {(rows, tokens)}, numbers {(rows, len(NUMBERS))}, "
                f"got {tuple(self.present.shape)} and {tuple(self.numbers.shape)}"
            )

    @classmethod
    def nothing(cls, rows: int, statements: int, entries: int) -> ConditionTensors:
        """Conditions that say nothing, with room for so many statements and knowledge entries."""
        return cls(
            text=torch.zeros(rows, TEXT_SIZE),
            statements=torch.zeros(rows, statements, TEXT_SIZE),
            knowledge=torch.zeros(rows, entries, TEXT_SIZE),
            numbers=torch.zeros(rows, len(NUMBERS)),
            present=torch.zeros(rows, 1 + statements + entries + len(NUMBERS), dtype=torch.bool),
        )

    def __len__(self) -> int:
        return self.text.shape[0]

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> ConditionTensors:
        """The conditions of some rows: a slice, indices or a boolean mask."""
        rows = rows if isinstance(rows, slice | Tensor) else torch.as_tensor(list(rows), dtype=torch.long)
        return ConditionTensors(**{name: tensor[rows] for name, tensor in self.tensors().items()})

    def to(self, device: torch.device | str) -> ConditionTensors:
        """The same conditions on another device."""
        return ConditionTensors(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, e.g. to save them; `ConditionTensors(**tensors)` is the way back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def stack(conditions: Sequence[ConditionTensors]) -> ConditionTensors:
        """Several batches below each other, in order."""
        names = [field.name for field in fields(ConditionTensors)]
        return ConditionTensors(**{name: torch.cat([getattr(one, name) for one in conditions]) for name in names})

    def where(self, chosen: Tensor, other: ConditionTensors) -> ConditionTensors:
        """These conditions, or the other's in the rows where `chosen` (B,) is True."""
        theirs = other.tensors()
        return ConditionTensors(
            **{
                name: torch.where(chosen.view(-1, *[1] * (tensor.ndim - 1)), theirs[name], tensor)
                for name, tensor in self.tensors().items()
            }
        )

    def keep(self, kept: Tensor) -> ConditionTensors:
        """Hide fields.

        Args:
            kept: (B, 6) bool in the order of `FIELDS`, False where the row's field is to be hidden.
        """
        sizes = torch.tensor([1, self.statements.shape[1], self.knowledge.shape[1], 1, 1, 1], device=kept.device)
        return replace(self, present=self.present & kept.repeat_interleave(sizes, dim=1))

    def hidden(self) -> ConditionTensors:
        """The same rows with every field hidden: the unconditional branch of guidance."""
        return replace(self, present=torch.zeros_like(self.present))

    def without_knowledge(self) -> ConditionTensors:
        """The same rows with the retrieved knowledge hidden, for models that do not use it."""
        kept = torch.ones(len(self), len(FIELDS), dtype=torch.bool, device=self.present.device)
        kept[:, FIELDS.index("knowledge")] = False
        return self.keep(kept)

    def dropped(self, per_field: float = 0.1, everything: float = 0.1) -> ConditionTensors:
        """Hide fields at random, so that the model learns every subset of a condition.

        Args:
            per_field: chance that a field is hidden, independently per field and row.
            everything: chance that the whole condition of a row is hidden.
        """
        device = self.present.device
        kept = torch.rand(len(self), len(FIELDS), device=device) >= per_field
        kept &= torch.rand(len(self), 1, device=device) >= everything
        return self.keep(kept)


class FourierFeatures(nn.Module):
    """Numbers in about [0, 1] as sines and cosines of octave-spaced frequencies, which resolve small differences."""

    frequencies: Tensor

    def __init__(self, octaves: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(octaves), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """(…) numbers to (…, 2 · octaves) features."""
        angle = numbers[..., None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class ConditionEncoder(nn.Module):
    """Condition tensors to tokens: each text through one projection, each number through its own.

    A missing single-token field shows its null token. A missing statement or entry is masked out, unless the whole
    field is missing: then its first slot shows the field's null token. So attention always has six fields to look at.
    """

    number_scale: Tensor

    def __init__(self, token_width: int, octaves: int = 6) -> None:
        super().__init__()
        self.text = nn.Linear(TEXT_SIZE, token_width)
        self.fourier = FourierFeatures(octaves)
        self.number = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(2 * octaves, token_width), nn.SiLU(), nn.Linear(token_width, token_width))
                for name in NUMBERS
            }
        )
        self.field = nn.Embedding(len(FIELDS), token_width)
        self.null = nn.Embedding(len(FIELDS), token_width)
        self.norm = nn.LayerNorm(token_width)
        # Ages and heart rates reach about 1; sex stays at 0 and 1 half a period apart.
        self.register_buffer("number_scale", torch.tensor([1 / 100, 1.0, 1 / 200]), persistent=False)

    def forward(self, condition: ConditionTensors) -> tuple[Tensor, Tensor]:
        """Tokens and mask.

        Returns:
            tokens (B, 1 + S + K + 3, token_width) and mask of the same first two axes, True where attention may look.
        """
        statements, entries = condition.statements.shape[1], condition.knowledge.shape[1]
        # Embeddings have unit length over 384 numbers; scaled up they have unit variance like everything else here.
        texts = torch.cat([condition.text[:, None], condition.statements, condition.knowledge], dim=1) * TEXT_SIZE**0.5
        features = self.fourier(condition.numbers * self.number_scale)
        numbers = torch.stack([self.number[name](features[:, index]) for index, name in enumerate(NUMBERS)], dim=1)
        given = torch.cat([self.text(texts), numbers], dim=1)

        field_of = [0, *[1] * statements, *[2] * entries, 3, 4, 5]
        index = torch.tensor(field_of, device=given.device)
        tokens = torch.where(condition.present[..., None], given + self.field(index), self.null(index))

        mask = condition.present.clone()
        mask[:, 0] = True
        mask[:, -len(NUMBERS) :] = True
        for first, count in ((1, statements), (1 + statements, entries)):
            if count:
                mask[:, first] |= ~condition.present[:, first : first + count].any(dim=1)
        return self.norm(tokens), mask
