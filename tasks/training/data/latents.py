"""Latents of the recordings: at which shifts they are encoded, and what the autoencoder loses."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from safetensors import safe_open

from tasks.training.data.recordings import LEARNING_SPLITS
from tasks.training.data.weight_files import (
    LATENTS_FILE,
)

SHIFTS: Final = 8
"""Shifts of less than a latent step at which training recordings are encoded, so that few recordings teach more."""


def shift_starts(downsampling: int) -> list[int]:
    """Samples at which shifted encodings begin, spread over one latent step, the first at 0."""
    shifts = min(SHIFTS, downsampling)
    return [shift * downsampling // shifts for shift in range(shifts)]


def shifted_length(samples: int, starts: list[int], downsampling: int) -> int:
    """Samples of every shifted piece of a recording: whole latent steps that all shifts leave room for."""
    length = samples - starts[-1]
    return length - length % downsampling


def reconstruction_error(folder: Path) -> dict[str, list[float]]:
    """Mean absolute error of the autoencoder's reconstructions per split and lead, in mV."""
    with safe_open(folder / LATENTS_FILE, framework="pt") as saved:
        return {split: saved.get_tensor(f"{split}_mae_mv").tolist() for split in LEARNING_SPLITS}


def latent_statistics(folder: Path) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over the training split."""
    with safe_open(folder / LATENTS_FILE, framework="pt") as saved:
        return saved.get_tensor("mean").tolist(), saved.get_tensor("std").tolist()
