"""The condition of an ECG as tensors, and the encoder that turns it into tokens for cross-attention.

A condition has eight fields: text, statements, retrieved knowledge, age, sex, heart rate, findings of a report, and
measurements of patients like those of the retrieved entries. Each is one or more tokens, so that attention has
something to choose between. Any field may be missing: a learned null token stands in for it, which is also what
classifier-free guidance (Ho and Salimans 2022) uses for the unconditional branch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import torch
from torch import Tensor, nn

from models.measured_features import MEASURED

TEXT_SIZE: Final = 384
"""Numbers in a text embedding (MiniLM)."""

NUMBERS: Final = ("age_years", "sex", "heart_rate_bpm")
"""Columns of `ConditionTensors.numbers`: years, 0 male or 1 female, beats per minute."""

FIELDS: Final = ("text", "statements", "knowledge", *NUMBERS, "findings", "measurements")
"""Fields of a condition in token order."""

KNOWLEDGE_FIELDS: Final = ("knowledge", "measurements")
"""Fields that come from the knowledge base: what retrieved entries say, and what their patients measure."""


FINDINGS_HIDDEN: Final = 0.5
"""Chance that findings are hidden in training, beside that of every field: most of what is asked for has none."""


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
    findings: Tensor = None  # type: ignore[assignment]
    quartiles: Tensor = None  # type: ignore[assignment]
    measured: Tensor = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        (rows, entries), device = self.knowledge.shape[:2], self.text.device
        nothing = {
            "rhythm": ((rows,), torch.int64),
            "stated_rhythm": ((rows, 2), torch.int64),
            "findings": ((rows, TEXT_SIZE), torch.float32),
            "quartiles": ((rows, entries, len(MEASURED), 3), torch.float32),
            "measured": ((rows, entries, len(MEASURED)), torch.bool),
        }
        for name, (shape, dtype) in nothing.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, torch.zeros(shape, dtype=dtype, device=device))
            elif getattr(self, name).shape != shape:
                raise ValueError(f"{name} of {rows} conditions needs {shape}, got {tuple(getattr(self, name).shape)}")
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
            kept: (B, 8) bool in the order of `FIELDS`, False where the row's field is to be hidden.
        """
        findings, measurements = kept[:, -2:].unbind(dim=1)
        return replace(
            self,
            present=self.present & kept[:, self._field_of()],
            findings=self.findings * findings[:, None],
            measured=self.measured & measurements[:, None, None],
        )

    def _field_of(self) -> list[int]:
        """Which of `FIELDS` each column of `present` belongs to."""
        return [0, *[1] * self.statements.shape[1], *[2] * self.knowledge.shape[1], 3, 4, 5]

    def without(self, *names: str) -> ConditionTensors:
        """The same rows with some of `FIELDS` hidden.

        Raises:
            ValueError: a name is not one of `FIELDS`.
        """
        kept = torch.ones(len(self), len(FIELDS), dtype=torch.bool, device=self.present.device)
        kept[:, [FIELDS.index(name) for name in names]] = False
        return self.keep(kept)

    def hidden(self) -> ConditionTensors:
        """The same rows with every field hidden: the unconditional branch of guidance."""
        return self.without(*FIELDS)

    def without_knowledge(self) -> ConditionTensors:
        """The same rows without the knowledge base, for models that do not use it."""
        return self.without(*KNOWLEDGE_FIELDS)

    def with_fields_of(self, names: Sequence[str], rows: Tensor) -> ConditionTensors:
        """The same rows with some of `FIELDS` of other rows: it tells how much a field, rather than the rest, acts.

        Args:
            names: of the fields.
            rows: (B,) the row whose fields each row is given.
        """
        other, chosen = self[rows], [name in names for name in FIELDS]
        columns = torch.tensor([chosen[field] for field in self._field_of()], device=self.present.device)
        of_numbers = torch.tensor(chosen[3:6], device=self.present.device)
        taken = [name for name in ("text", "statements", "knowledge", "findings") if name in names]
        taken += ["quartiles", "measured"] if "measurements" in names else []
        return replace(
            self,
            present=torch.where(columns, other.present, self.present),
            numbers=torch.where(of_numbers, other.numbers, self.numbers),
            **{name: getattr(other, name) for name in taken},
        )

    def dropped(self, per_field: float = 0.1, everything: float = 0.1) -> ConditionTensors:
        """Hide fields at random, so that the model learns every subset of a condition.

        Args:
            per_field: chance that a field is hidden, independently per field and row.
            everything: chance that the whole condition of a row is hidden.
        """
        device = self.present.device
        kept = torch.rand(len(self), len(FIELDS), device=device) >= per_field
        kept &= torch.rand(len(self), 1, device=device) >= everything
        kept[:, FIELDS.index("findings")] &= torch.rand(len(self), device=device) >= FINDINGS_HIDDEN
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

    Quartiles go through a small network of their own, with a flag for each feature that says whether it is known. A
    missing single-token field shows its null token. A missing statement, entry or set of measurements is masked out,
    unless the whole field is missing: then its first slot shows the field's null token. So attention always has all
    fields to look at.
    """

    number_scale: Tensor
    usual: Tensor
    spread: Tensor

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
        self.quartiles = nn.Sequential(
            nn.Linear(4 * len(MEASURED), token_width), nn.SiLU(), nn.Linear(token_width, token_width)
        )
        self.field = nn.Embedding(len(FIELDS), token_width)
        self.null = nn.Embedding(len(FIELDS), token_width)
        self.norm = nn.LayerNorm(token_width)
        # Ages and heart rates reach about 1; sex stays at 0 and 1 half a period apart.
        self.register_buffer("number_scale", torch.tensor([1 / 100, 1.0, 1 / 200]), persistent=False)
        self.register_buffer("usual", torch.tensor([[one.usual] for one in MEASURED]), persistent=False)
        self.register_buffer("spread", torch.tensor([[one.spread] for one in MEASURED]), persistent=False)

    def forward(self, condition: ConditionTensors) -> tuple[Tensor, Tensor]:
        """Tokens and mask.

        Returns:
            tokens (B, 1 + S + K + 3 + 1 + K, token_width) and mask of the same first two axes, True where attention may
            look.
        """
        statements, entries = condition.statements.shape[1], condition.knowledge.shape[1]
        # Embeddings have unit length over 384 numbers; scaled up they have unit variance like everything else here.
        texts = [condition.text[:, None], condition.statements, condition.knowledge, condition.findings[:, None]]
        written = self.text(torch.cat(texts, dim=1) * TEXT_SIZE**0.5)
        features = self.fourier(condition.numbers * self.number_scale)
        numbers = torch.stack([self.number[name](features[:, index]) for index, name in enumerate(NUMBERS)], dim=1)
        scaled = (condition.quartiles - self.usual) / self.spread
        known = torch.where(condition.measured[..., None], scaled, 0.0).flatten(2)
        measured = self.quartiles(torch.cat([known, condition.measured.to(known.dtype)], dim=2))
        given = torch.cat([written[:, :-1], numbers, written[:, -1:], measured], dim=1)

        sizes = [1, statements, entries, 1, 1, 1, 1, entries]
        field_of = [field for field, size in enumerate(sizes) for _ in range(size)]
        index = torch.tensor(field_of, device=given.device)
        present = torch.cat(
            [condition.present, condition.findings.any(dim=1, keepdim=True), condition.measured.any(dim=2)], dim=1
        )
        tokens = torch.where(present[..., None], given + self.field(index), self.null(index))

        mask, first = present.clone(), 0
        for count in sizes:
            if count:
                mask[:, first] |= ~present[:, first : first + count].any(dim=1)
            first += count
        return self.norm(tokens), mask
