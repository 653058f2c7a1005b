"""Discriminators: whether a classifier can tell synthetic from real ECGs, by three views of them.

A classifier two-sample test (Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017): scores are of
rows that the classifier was not fitted to, patients never shared, and an area under the ROC curve of 0.5 means that it
cannot tell. A logistic regression reads spectra and measurements; a convolutional network reads raw crops, or median
beats. They miss different things: spectra do not know the order of events, median beats no rhythm and no noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from models.ecg.median_beats import GRID_HZ, median_beats
from models.evaluation.ecg_encoder import CROP_S, EcgEncoder, encode_crops, random_crops, shuffled_batches

SPECTRAL_EDGES_HZ: Final = (0.5, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 45, 50)
FEWEST: Final = 10
"""Rows of either set that any discriminator needs."""
LINEAR_FOLDS: Final = 5
NETWORK_FOLDS: Final = 2
"""Every network sees half of the rows: with two, a row is scored at the price of two trainings."""
BEAT_RATE_HZ: Final = 125
LEARNING_RATE: Final = 3e-3


def spectral_descriptors(signal: np.ndarray, rate_hz: int) -> np.ndarray:
    """Log power per lead and frequency band, and log amplitude per lead: what a discriminator sees first.

    Args:
        signal: (n, 8, samples), mV.

    Returns:
        (n, 8 × (bands + 2)) float64.
    """
    centred = signal - signal.mean(axis=2, keepdims=True)
    power = np.abs(np.fft.rfft(centred, axis=2)) ** 2
    frequency = np.fft.rfftfreq(signal.shape[2], 1 / rate_hz)
    edges = [edge for edge in SPECTRAL_EDGES_HZ if edge <= rate_hz / 2]
    bands = [
        power[:, :, (frequency >= low) & (frequency < high)].mean(axis=2) for low, high in itertools.pairwise(edges)
    ]
    spread = [centred.std(axis=2), np.abs(np.diff(signal, axis=2)).mean(axis=2)]
    return np.log(np.concatenate([*bands, *spread], axis=1).astype(np.float64) + 1e-8)


def linear_scores(real: np.ndarray, synthetic: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Out-of-fold probability of being synthetic, by logistic regression; five folds, patients never shared.

    Args:
        real, synthetic: (n, descriptors); missing values are replaced by the median and marked.
        groups: (real + synthetic,) patient of each row.

    Returns:
        (real + synthetic,) scores; NaN where there are too few rows for five folds.
    """
    rows = np.concatenate([real, synthetic]).astype(np.float64)
    target = np.repeat([0, 1], [len(real), len(synthetic)])
    scores = np.full(len(rows), np.nan)
    if min(len(real), len(synthetic)) < FEWEST:
        return scores
    missing = ~np.isfinite(rows)
    rows = np.concatenate([np.where(missing, np.nan, rows), missing[:, missing.any(axis=0)]], axis=1)
    for train, test in StratifiedGroupKFold(LINEAR_FOLDS, shuffle=True, random_state=seed).split(rows, target, groups):
        with np.errstate(all="ignore"):
            fill = np.nan_to_num(np.nanmedian(rows[train], axis=0))
        filled = np.where(np.isnan(rows), fill, rows)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        scores[test] = model.fit(filled[train], target[train]).predict_proba(filled[test])[:, 1]
    return scores


@dataclass(frozen=True)
class DiscriminatorTraining:
    """How a convolutional discriminator is trained."""

    steps: int
    batch_size: int
    seed: int


class ConvolutionalDiscriminator(EcgEncoder):
    """A small residual network with one logit: above 0 for synthetic."""

    def __init__(self) -> None:
        super().__init__(width=16, stages=3, features=32)
        self.head = nn.Linear(32, 1)


def convolutional_scores(
    real: np.ndarray, synthetic: np.ndarray, groups: np.ndarray, rate_hz: int, training: DiscriminatorTraining
) -> np.ndarray:
    """Out-of-fold ranks by a network that is trained on random crops of 2.5 s and read out as their mean.

    Args:
        real, synthetic: (n, 8, samples), mV; shorter than a crop they are seen whole.
        groups: (real + synthetic,) patient of each row.
        rate_hz: sampling rate, which sets the length of a crop.

    Returns:
        (real + synthetic,) rank within the fold, in 0 … 1, higher for synthetic: networks of different folds need not
        agree on a scale. NaN where there are too few rows.
    """
    signal = np.concatenate([real, synthetic]).astype(np.float32, copy=False)
    target = np.repeat([0, 1], [len(real), len(synthetic)])
    scores = np.full(len(signal), np.nan)
    if min(len(real), len(synthetic)) < FEWEST:
        return scores
    folds = StratifiedGroupKFold(NETWORK_FOLDS, shuffle=True, random_state=training.seed)
    with _one_thread():
        for fold, (train, test) in enumerate(folds.split(signal[:, 0, :1], target, groups)):
            torch.manual_seed(training.seed + fold)
            model = _trained(signal[train], target[train], rate_hz, training)
            with torch.inference_mode():
                logits = [model.head(found).mean(dim=1)[:, 0] for found in encode_crops(model, signal[test], rate_hz)]
            scores[test] = rankdata(torch.cat(logits).numpy()) / len(test)
    return scores


def _trained(
    signal: np.ndarray, target: np.ndarray, rate_hz: int, training: DiscriminatorTraining
) -> ConvolutionalDiscriminator:
    draws = torch.Generator().manual_seed(training.seed)
    model = ConvolutionalDiscriminator().train()
    ecgs, labels = torch.from_numpy(signal), torch.from_numpy(target.astype(np.float32))
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=training.steps + 1)
    for chosen in shuffled_batches(len(signal), training.batch_size, training.steps, draws):
        crops = random_crops(ecgs[chosen], round(CROP_S * rate_hz), draws)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = model.features(crops)
        loss = F.binary_cross_entropy_with_logits(model.head(features.float())[:, 0], labels[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """More threads would round differently on other machines."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def beats_to_tell(signal: np.ndarray, r_peaks: Sequence[np.ndarray], rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Median beats as a discriminator reads them.

    Args:
        signal: (n, 8, samples), mV.
        r_peaks: positions in samples per row.

    Returns:
        Rows that have a median beat, (kept,), and these beats, (kept, 8, samples) at `BEAT_RATE_HZ`.
    """
    found = median_beats(signal, r_peaks, rate_hz)
    return found.rows, np.ascontiguousarray(found.beat[:, :, :: GRID_HZ // BEAT_RATE_HZ])
