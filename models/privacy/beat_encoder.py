"""The identifying space: an encoder in which mean beats of one person lie close together, whatever the rhythm.

A residual 1-D convolutional network is trained with the supervised contrastive loss (Khosla et al., NeurIPS 2020,
eq. 2) on patients with several recordings, as ECG biometrics does. A patient with one recording is represented by the
two halves of it; so there is a space, though a poorer one, where no patient has more. Augmentations imitate what
differs between two recordings of a person (gain, places of chest electrodes, position of the heart, rate, wander and
noise), and what a generator that leaks might do to a beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import BeatEncoderArchitecture
from models.leads import INDEPENDENT_LEADS
from models.privacy.mean_beats import BEAT_RATE_HZ, BEAT_SAMPLES, BEFORE_R_S

TEMPERATURE: Final = 0.07
ROWS_AT_ONCE: Final = 1024
LEADS: Final = len(INDEPENDENT_LEADS)
LARGEST_FOREIGN_SHARE: Final = 0.3
R_INDEX: Final = round(BEFORE_R_S * BEAT_RATE_HZ)
QRS_SAMPLES: Final = (-6, 8)
"""Around the R peak; what lies outside moves with the heart rate."""
LEAD_PAIRS: Final = torch.tensor(
    [[abs(one - two) == 1 and (one < 2) == (two < 2) for two in range(LEADS)] for one in range(LEADS)]
).float()
"""Leads that resemble each other when an electrode or the heart is elsewhere: I and II, neighbouring chest leads."""


class ResidualBlock(nn.Module):
    """Two convolutions and a short cut; halves the length."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels_in, channels_out, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm1d(channels_out),
            nn.ReLU(),
            nn.Conv1d(channels_out, channels_out, 5, padding=2, bias=False),
            nn.BatchNorm1d(channels_out),
        )
        self.shortcut = nn.Sequential(
            nn.Conv1d(channels_in, channels_out, 1, stride=2, bias=False), nn.BatchNorm1d(channels_out)
        )

    def forward(self, beats: Tensor) -> Tensor:
        """(batch, channels, samples) to (batch, channels_out, samples / 2)."""
        return F.relu(self.body(beats) + self.shortcut(beats))


class BeatEncoder(nn.Module):
    """Mean beats to points on a sphere."""

    def __init__(self, architecture: BeatEncoderArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        width = architecture.width
        length = -(-BEAT_SAMPLES // 8)
        self.trunk = nn.Sequential(
            nn.Conv1d(LEADS, width, 7, padding=3, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            ResidualBlock(width, width),
            ResidualBlock(width, 2 * width),
            ResidualBlock(2 * width, 2 * width),
        )
        self.project = nn.Sequential(
            nn.Flatten(), nn.Dropout(architecture.dropout), nn.Linear(2 * width * length, architecture.embedding)
        )

    def forward(self, beats: Tensor) -> Tensor:
        """(batch, 8, BEAT_SAMPLES) mV to unit vectors (batch, embedding)."""
        # A root shows the small P and T waves beside the QRS complex.
        compressed = 2 * beats.sign() * ((beats.abs() + 0.01).sqrt() - 0.1)
        return F.normalize(self.project(self.trunk(compressed)), dim=1)


@dataclass(frozen=True)
class BeatEncoderTraining:
    """How an encoder is trained: steps, patients per step, peak learning rate, seed."""

    steps: int
    batch_patients: int
    learning_rate: float
    seed: int


def train_beat_encoder(
    halves: np.ndarray, patients: np.ndarray, architecture: BeatEncoderArchitecture, training: BeatEncoderTraining
) -> BeatEncoder:
    """Train on the recordings of a training split; the same seed and number of threads give the same weights.

    Two thirds of a batch are patients with several recordings, two of which are its positive pair, where there are as
    many; the other patients' pairs are the halves of a recording.

    Args:
        halves: (n, 2, 8, BEAT_SAMPLES) mV, from `mean_beats.beat_halves`.
        patients: (n,) patient of each recording.

    Raises:
        ValueError: fewer than two patients.
    """
    rng, noise = np.random.default_rng(training.seed), torch.Generator().manual_seed(training.seed)
    _, first, number = np.unique(patients, return_index=True, return_inverse=True)
    order = np.argsort(number, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(number))[:-1])
    rows_of = [rows_of[one] for one in np.argsort(first)]  # by first recording, whatever patients are called
    if len(rows_of) < 2:
        raise ValueError(f"an encoder that recognises people needs at least two, got {len(rows_of)}")
    several = [rows for rows in rows_of if len(rows) > 1]
    single = [rows for rows in rows_of if len(rows) == 1]
    torch.manual_seed(training.seed)
    model = BeatEncoder(architecture).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, training.learning_rate, total_steps=training.steps + 1)
    beats = torch.from_numpy(halves)
    for _ in range(training.steps):
        pairs = _pairs(several, single, training.batch_patients, rng)
        rows, half = torch.from_numpy(pairs[:, :, 0]).flatten(), torch.from_numpy(pairs[:, :, 1]).flatten()
        mixed = 0.3 * torch.rand((len(rows), 1, 1), generator=noise)
        chosen = beats[rows, half] * (1 - mixed) + beats[rows, 1 - half] * mixed
        points = model(augmented(chosen, noise))
        loss = same_patient_loss(points, torch.arange(len(pairs)).repeat_interleave(2))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def _pairs(several: list[np.ndarray], single: list[np.ndarray], patients: int, rng: np.random.Generator) -> np.ndarray:
    """(patients, 2, 2) int64: two views of each patient of a batch, each a recording and one of its halves."""
    many = min(len(several), max(2 * patients // 3, patients - len(single)))
    pairs = []
    for one in rng.choice(len(several), many, replace=False) if many else []:
        pairs.append(np.stack([rng.choice(several[one], 2, replace=False), rng.integers(0, 2, 2)], axis=1))
    for one in rng.choice(len(single), min(patients - many, len(single)), replace=False) if single else []:
        pairs.append(np.array([[single[one][0], 0], [single[one][0], 1]]))
    return np.stack(pairs)


def augmented(beats: Tensor, generator: torch.Generator) -> Tensor:
    """Beats (batch, 8, BEAT_SAMPLES) as another recording of the same people, or a generator, might show them.

    Half of them get up to `LARGEST_FOREIGN_SHARE` of another beat of the batch: a generator that leaks may mix people.
    """
    batch, leads, samples = beats.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    foreign = LARGEST_FOREIGN_SHARE * torch.rand((batch, 1, 1), generator=generator)
    foreign = foreign * (torch.rand((batch, 1, 1), generator=generator) < 0.5)
    beats = torch.lerp(beats, beats[torch.randperm(batch, generator=generator)], foreign)
    gain = torch.exp(0.1 * normal(batch, 1, 1) + 0.15 * normal(batch, leads, 1))
    mixing = torch.eye(leads) + 0.15 * normal(batch, leads, leads) * LEAD_PAIRS
    moved = torch.einsum("bij,bjt->bit", mixing, beats * gain)
    time = torch.arange(samples, dtype=torch.float32)[None] - R_INDEX
    early, late = QRS_SAMPLES
    stretched = torch.where(
        time > late,
        late + (time - late) * (1 + 0.06 * normal(batch, 1)),
        torch.where(time < early, early + (time - early) * (1 + 0.06 * normal(batch, 1)), time),
    )
    place = (stretched + 0.6 * normal(batch, 1) + R_INDEX).clamp(0, samples - 1.001)
    lower = place.floor().long()[:, None].expand(batch, leads, samples)
    share = (place - place.floor())[:, None]
    moved = moved.gather(2, lower) * (1 - share) + moved.gather(2, lower + 1) * share
    return (
        moved + 0.02 * normal(batch, leads, samples) + 0.05 * normal(batch, leads, 1) * torch.linspace(-1, 1, samples)
    )


def same_patient_loss(points: Tensor, patients: Tensor) -> Tensor:
    """Supervised contrastive loss of unit vectors (batch, embedding) of patients (batch,), each at least twice."""
    itself = torch.eye(len(points), dtype=torch.bool)
    likeness = (points @ points.T / TEMPERATURE).masked_fill(itself, -1e9)
    same = ((patients[:, None] == patients[None]) & ~itself).float()
    log_share = likeness - torch.logsumexp(likeness, dim=1, keepdim=True)
    return -((same * log_share).sum(dim=1) / same.sum(dim=1)).mean()


@torch.inference_mode()
def encode_beats(model: BeatEncoder, beats: np.ndarray) -> np.ndarray:
    """Points (n, embedding) float32 of mean beats (n, 8, BEAT_SAMPLES), which are encoded in blocks."""
    blocks = [
        model(torch.from_numpy(np.ascontiguousarray(beats[at : at + ROWS_AT_ONCE])))
        for at in range(0, len(beats), ROWS_AT_ONCE)
    ]
    return torch.cat(blocks).numpy() if blocks else np.empty((0, model.architecture.embedding), np.float32)
