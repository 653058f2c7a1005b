"""The rhythm and the beats that recordings show, as the driver left them for the workers, in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.beats.beats import Beats
from models.rhythm.rhythm import Rhythm
from tasks.training.data.weight_files import save_tensors


@dataclass(frozen=True)
class Recorded:
    """What N recordings show.

    Attributes:
        rhythm: of each.
        beats: of each, 0 in recordings that have none.
        known: (N,) bool, which have at least two R peaks, without which no beat is usual.
        patients: (N,) int64, number of each recording's patient.
    """

    rhythm: Rhythm
    beats: Beats
    known: Tensor
    patients: Tensor

    def __len__(self) -> int:
        return len(self.known)

    def __getitem__(self, rows: Tensor) -> Recorded:
        """Some of them, by index."""
        return Recorded(self.rhythm[rows], self.beats[rows], self.known[rows], self.patients[rows])

    @staticmethod
    def stack(parts: Sequence[Recorded]) -> Recorded:
        """Several below each other, in order; at least one."""
        return Recorded(
            Rhythm.stack([part.rhythm for part in parts]),
            Beats.stack([part.beats for part in parts]),
            torch.cat([part.known for part in parts]),
            torch.cat([part.patients for part in parts]),
        )


def piece_file(folder: Path, split: str, first: int) -> Path:
    """Where the piece of a split that begins with a recording is kept while a flow is trained."""
    return folder / "_training" / f"recorded_{split}_{first:08d}.safetensors"


def save_piece(folder: Path, split: str, first: int, piece: Recorded) -> None:
    """Save the piece of a split that begins with a recording."""
    tensors = {f"rhythm.{name}": one for name, one in vars(piece.rhythm).items()}
    tensors |= {f"beats.{name}": one for name, one in vars(piece.beats).items()}
    save_tensors(tensors | {"known": piece.known, "patients": piece.patients}, piece_file(folder, split, first))


def load_recorded(folder: Path, split: str) -> Recorded:
    """Read all pieces of a split."""
    parts = []
    for path in sorted((folder / "_training").glob(f"recorded_{split}_*.safetensors")):
        saved = load_file(path)

        def part(prefix: str, saved: dict[str, Tensor] = saved) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): one for name, one in saved.items() if name.startswith(prefix)}

        parts.append(Recorded(Rhythm(**part("rhythm.")), Beats(**part("beats.")), saved["known"], saved["patients"]))
    return Recorded.stack(parts)
