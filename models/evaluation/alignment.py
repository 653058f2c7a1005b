"""Does an ECG show what its text says? Two towers that put ECGs and texts into one space, trained by contrast.

After CLIP (Radford et al., ICML 2021): symmetric InfoNCE with a learned temperature. Recordings often share their text
("normal ECG, sinus rhythm" is four in ten), so every ECG with a text equal to an ECG's own is a positive as well, and
never a negative: positives are each contrasted with the negatives only (SINCERE, Feeney and Hughes, arXiv 2309.14277).
With one positive per row, or with targets spread over all of them, an ECG that is closer to its text than others of the
same text would be pushed away from words that are true of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import AlignmentArchitecture
from models.conditioning import TEXT_SIZE
from models.evaluation.ecg_encoder import CROP_S, EcgEncoder, encode_crops, random_crops, shuffled_batches

FIRST_TEMPERATURE: Final = 0.07
LOWEST_TEMPERATURE: Final = 0.01
"""Bound of the learned temperature, as in CLIP."""
NOTHING: Final = -1e4
"""A logit whose exponential is zero; minus infinity would give no gradient where a row has no negative."""


class AlignmentEncoder(EcgEncoder):
    """Projections of ECGs and of text embeddings into one space, each of length 1."""

    def __init__(self, architecture: AlignmentArchitecture) -> None:
        super().__init__(architecture.width, architecture.stages, architecture.features)
        self.architecture = architecture
        self.ecg_projection = nn.Sequential(
            nn.Dropout(architecture.dropout), nn.Linear(architecture.features, architecture.embedding)
        )
        self.text_projection = nn.Sequential(
            nn.Linear(TEXT_SIZE, architecture.features),
            nn.GELU(),
            nn.Dropout(architecture.dropout),
            nn.Linear(architecture.features, architecture.embedding),
        )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(FIRST_TEMPERATURE)))

    @property
    def scale(self) -> Tensor:
        """One over the temperature."""
        return self.log_scale.clamp(max=-math.log(LOWEST_TEMPERATURE)).exp()

    def project_ecg(self, features: Tensor) -> Tensor:
        """(…, features) of `EcgEncoder.features` to (…, embedding) of length 1."""
        return F.normalize(self.ecg_projection(features), dim=-1)

    def project_text(self, embedding: Tensor) -> Tensor:
        """(…, 384) MiniLM embeddings to (…, embedding) of length 1."""
        return F.normalize(self.text_projection(embedding), dim=-1)


def contrastive_loss(ecgs: Tensor, texts: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE with several positives per row: each against the negatives, averaged over the positives.

    Args:
        ecgs: (n, embedding) of length 1.
        texts: (n, embedding) of length 1, in the order of `ecgs`.
        same: (n,) int64; rows with the same number have the same text.
        scale: one over the temperature.
    """
    positive = same[:, None] == same
    logits = scale * ecgs @ texts.T
    return 0.5 * (_against_negatives(logits, positive) + _against_negatives(logits.T, positive))


def _against_negatives(logits: Tensor, positive: Tensor) -> Tensor:
    """Mean over rows of the mean over positives p of −log eᵖ / (eᵖ + Σ over negatives n of eⁿ)."""
    negatives = logits.masked_fill(positive, NOTHING).logsumexp(dim=1, keepdim=True)
    of_pair = F.softplus(negatives - logits) * positive
    return (of_pair.sum(dim=1) / positive.sum(dim=1)).mean()


@dataclass(frozen=True)
class AlignedEcgs:
    """ECGs and their texts.

    Attributes:
        signal: (n, 8, samples) float32, mV.
        text: (n, 384) float32 MiniLM embedding of each ECG's text.
        same: (n,) int64; ECGs with the same text have the same number.
    """

    signal: np.ndarray
    text: np.ndarray
    same: np.ndarray

    def __len__(self) -> int:
        return len(self.signal)


@dataclass(frozen=True)
class AlignmentTraining:
    """How an encoder is trained: at most `steps`, until `patience` checks have found no lower validation loss."""

    steps: int
    batch_size: int
    learning_rate: float
    check_every_steps: int
    patience: int
    seed: int


@dataclass(frozen=True)
class AlignmentCheck:
    """One look at the validation split; `loss` is the mean since the last one."""

    step: int
    loss: float
    validation: float
    learning_rate: float


def train_alignment(
    training: AlignedEcgs,
    validation: AlignedEcgs,
    architecture: AlignmentArchitecture,
    schedule: AlignmentTraining,
    rate_hz: int,
    device: str = "cpu",
    progress: Callable[[AlignmentCheck], None] | None = None,
) -> tuple[AlignmentEncoder, list[AlignmentCheck]]:
    """Train an encoder; the same seed and number of threads give the same weights.

    Args:
        training: pairs to learn from.
        validation: pairs that choose the step whose weights are kept.
        device: where to train, as PyTorch names it.
        progress: called at each check.

    Returns:
        The encoder with the weights of the lowest validation loss, and all checks.

    Raises:
        ValueError: either set holds fewer than two different texts, so there is nothing to tell apart.
    """
    for name, pairs in (("training", training), ("validation", validation)):
        if len(np.unique(pairs.same)) < 2:
            raise ValueError(f"contrast needs at least two different texts among the {len(pairs)} {name} ECGs")
    torch.manual_seed(schedule.seed)
    draws = torch.Generator().manual_seed(schedule.seed)
    model = AlignmentEncoder(architecture).to(device).train()
    signal, text, same = (torch.from_numpy(each) for each in (training.signal, training.text, training.same))
    optimiser = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=0.05)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.learning_rate, total_steps=schedule.steps + 1)
    checks: list[AlignmentCheck] = []
    best: tuple[float, dict[str, Tensor]] = (math.inf, _copied(model))
    losses: list[float] = []
    since_best = 0
    for step, chosen in enumerate(shuffled_batches(len(signal), schedule.batch_size, schedule.steps, draws), start=1):
        crops = random_crops(signal[chosen], round(CROP_S * rate_hz), draws).to(device)
        with torch.autocast(device, dtype=torch.bfloat16):
            features = model.features(crops)
        features = features.float()
        loss = contrastive_loss(
            model.project_ecg(features),
            model.project_text(text[chosen].to(device)),
            same[chosen].to(device),
            model.scale,
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rates.step()
        losses.append(float(loss.detach()))
        if step % schedule.check_every_steps and step != schedule.steps:
            continue
        validated = validation_loss(model, validation, rate_hz)
        check = AlignmentCheck(step, float(np.mean(losses)), validated, float(rates.get_last_lr()[0]))
        losses.clear()
        checks.append(check)
        if progress:
            progress(check)
        since_best += 1
        if check.validation < best[0]:
            best, since_best = (check.validation, _copied(model)), 0
        if since_best == schedule.patience:
            break
    model.load_state_dict(best[1])
    return model.eval().cpu(), checks


def validation_loss(model: AlignmentEncoder, pairs: AlignedEcgs, rate_hz: int) -> float:
    """Contrastive loss over all pairs at once, read out over whole recordings, without dropout."""
    model.eval()
    ecgs, texts = torch.from_numpy(embed_ecgs(model, pairs.signal, rate_hz)), embed_texts(model, pairs.text)
    loss = contrastive_loss(ecgs, torch.from_numpy(texts), torch.from_numpy(pairs.same), model.scale.detach().cpu())
    model.train()
    return float(loss)


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


@torch.inference_mode()
def embed_ecgs(model: AlignmentEncoder, signal: np.ndarray, rate_hz: int, batch_size: int = 128) -> np.ndarray:
    """Projections of ECGs, each the mean over half-overlapping crops, of length 1.

    Args:
        signal: (n, 8, samples), mV.

    Returns:
        (n, embedding) float32.
    """
    found = [
        F.normalize(model.project_ecg(features).mean(dim=1), dim=-1)
        for features in encode_crops(model, signal, rate_hz, batch_size)
    ]
    return torch.cat(found).cpu().numpy() if found else np.empty((0, model.architecture.embedding), np.float32)


@torch.inference_mode()
def embed_texts(model: AlignmentEncoder, text: np.ndarray) -> np.ndarray:
    """Projections of MiniLM embeddings (n, 384) of texts: (n, embedding) float32 of length 1."""
    rows = torch.from_numpy(np.ascontiguousarray(text, dtype=np.float32)).to(model.log_scale.device)
    return model.project_text(rows).cpu().numpy()
