"""Rows of the `evaluations` table about alignment: whether a contrastive encoder finds ECGs true to their texts.

Real means the test split here: validation recordings chose the encoder's weights. A ratio of cosines has no natural
zero, so the value for texts dealt at random stands beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import hypergeom

from models.evaluation import metrics
from models.evaluation.metrics import Estimate
from tasks.ecg_sets import EcgSet
from tasks.evaluation.networks.alignment import embed_texts_once
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row
from tasks.settings import EvaluationSettings

if TYPE_CHECKING:
    from models.evaluation.alignment import AlignmentEncoder

RECALL_AT: Final = 5
EQUAL_RECALL: Final = f"text to ECG recall at {RECALL_AT}, equal texts"
SYNTHETIC, REAL = "synthetic", "real test recordings"


@dataclass(frozen=True)
class Projected:
    """ECGs with their texts in the encoder's space.

    Attributes:
        ecgs, texts: (n, embedding), length 1 each.
        words: n texts, none empty.
        patients: (n,) patient of each ECG.
    """

    ecgs: np.ndarray
    texts: np.ndarray
    words: Sequence[str]
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.ecgs)

    @property
    def cosines(self) -> np.ndarray:
        """(n,) cosine of each ECG and its own text."""
        return np.einsum("ne,ne->n", self.ecgs, self.texts).astype(np.float64)


def projected(encoder: AlignmentEncoder, ecgs: EcgSet, texts: Sequence[str], rate_hz: int) -> Projected:
    """ECGs and their texts through an encoder; ECGs without a text are left out."""
    from models.evaluation.alignment import embed_ecgs, embed_texts

    kept = ecgs.take(np.array([bool(text) for text in texts], dtype=bool))
    words = [text for text in texts if text]
    return Projected(
        embed_ecgs(encoder, kept.signal, rate_hz), embed_texts(encoder, embed_texts_once(words)), words, kept.patients
    )


def alignment_rows(
    synthetic: Projected | None, real: Projected | None, settings: EvaluationSettings
) -> Iterator[EvaluationRow]:
    """CLIP score, rCLIP and retrieval recall; null where there is no encoder."""
    seed, samples = settings.seed, settings.bootstrap_samples
    if synthetic is None or real is None or not len(synthetic) or not len(real):
        for metric, subject in (
            ("CLIP score", SYNTHETIC),
            ("rCLIP", SYNTHETIC),
            (f"text to ECG recall at {RECALL_AT}", REAL),
            (EQUAL_RECALL, SYNTHETIC),
        ):
            yield evaluation_row("alignment", metric, subject, metrics.UNKNOWN, 0, seed)
        return
    of_real = metrics.mean_estimate(real.cosines, real.patients, samples, seed)
    of_synthetic = metrics.mean_estimate(synthetic.cosines, synthetic.patients, samples, seed)
    yield evaluation_row(
        "alignment", "CLIP score", SYNTHETIC, of_synthetic, len(synthetic), seed, reference=of_real.value
    )
    yield evaluation_row("alignment", "CLIP score", REAL, of_real, len(real), seed)
    dealt = dealt_at_random(real, samples, seed)
    yield evaluation_row("alignment", "CLIP score", f"{REAL}, texts dealt at random", dealt, len(real), seed)
    everything = np.ones(len(synthetic)), np.ones(len(real))
    ratio = relative_score(synthetic, real, *everything, samples, seed)
    yield evaluation_row("alignment", "rCLIP", SYNTHETIC, ratio, len(synthetic), seed, reference=1.0)
    shared = weights_of_shared_texts(synthetic.words, real.words)
    ratio = relative_score(synthetic, real, *shared, samples, seed)
    n = int((shared[0] > 0).sum())
    yield evaluation_row(
        "alignment", "rCLIP", f"{SYNTHETIC}, texts that real ECGs have too", ratio, n, seed, reference=1.0
    )
    recall, chance, n = text_to_ecg_recall(real, samples, seed)
    yield evaluation_row("alignment", f"text to ECG recall at {RECALL_AT}", REAL, recall, n, seed, reference=chance)
    recall, reference, n = recall_on_equal_texts(synthetic, real, samples, seed)
    yield evaluation_row("alignment", EQUAL_RECALL, SYNTHETIC, recall, n, seed, reference=reference)


def dealt_at_random(pairs: Projected, samples: int, seed: int) -> Estimate:
    """Mean cosine over all pairings of ECGs and texts: what words that have nothing to do with the ECG would score."""

    def score(weights: np.ndarray) -> float:
        return float((weights @ pairs.ecgs) @ (weights @ pairs.texts)) / float(weights.sum()) ** 2

    return metrics.bootstrap(score, pairs.patients, samples, seed)


def relative_score(
    synthetic: Projected, real: Projected, of_synthetic: np.ndarray, of_real: np.ndarray, samples: int, seed: int
) -> Estimate:
    """rCLIP: mean cosine of synthetic over that of real ECGs; both are resampled by patient.

    Args:
        of_synthetic, of_real: (n,) weight of each row, at least 0. Unknown where a set weighs nothing, or where real
            ECGs score no better than 0.
    """

    def means(pairs: Projected, weight: np.ndarray, offset: int) -> np.ndarray:
        drawn = metrics.patient_weights(pairs.patients, samples, seed + offset)
        weights = np.vstack([np.ones(len(pairs)), drawn]) * weight
        total = weights.sum(axis=1)
        return np.divide(weights @ pairs.cosines, total, out=np.full(len(weights), np.nan), where=total > 0)

    above, below = means(synthetic, of_synthetic, 0), means(real, of_real, 1)
    ratios = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return metrics.percentile_interval(float(ratios[0]), ratios[1:])


def weights_of_shared_texts(synthetic: Sequence[str], real: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Weights that leave only texts found in both sets, each as frequent among real as among synthetic ECGs.

    A cohort asks for conditions that several patients share, which are easier to show than the rare ones that the
    recordings also hold.

    Returns:
        (synthetic,) of 0 and 1, and (real,).
    """
    asked, found = Counter(synthetic), Counter(real)
    of_synthetic = np.array([float(text in found) for text in synthetic])
    of_real = np.array([asked[text] / found[text] for text in real])
    return of_synthetic, of_real


def recall_on_equal_texts(
    synthetic: Projected, real: Projected, samples: int, seed: int
) -> tuple[Estimate, float, int]:
    """`text_to_ecg_recall` of synthetic and of real ECGs in pools of the same texts, each text equally often in both.

    Recall at k = (1/T) Σ_t [one of the k ECGs nearest to text t has text t]. It falls with every text and every ECG in
    the pool, so both pools have the same: of a text that m synthetic and n real ECGs have, min(m, n) of each are drawn.
    Every ECG of a text counts as found, since equal texts cannot tell their ECGs apart.

    Returns:
        Recall of synthetic ECGs, of real ones, and the number of texts.
    """
    asked, found = Counter(synthetic.words), Counter(real.words)
    wanted = {text: min(asked[text], found[text]) for text in asked if text in found}
    if not wanted:
        return metrics.UNKNOWN, float("nan"), 0
    rng = np.random.default_rng(seed)
    pools = [_drawn(pairs, wanted, rng) for pairs in (synthetic, real)]
    of_synthetic, of_real = (text_to_ecg_recall(pool, samples, seed)[0] for pool in pools)
    return of_synthetic, of_real.value, len(wanted)


def _drawn(pairs: Projected, wanted: Mapping[str, int], rng: np.random.Generator) -> Projected:
    """As many ECGs of each text as wanted, without replacement."""
    rows: dict[str, list[int]] = {text: [] for text in wanted}
    for row, text in enumerate(pairs.words):
        if text in rows:
            rows[text].append(row)
    chosen = np.sort(np.concatenate([rng.choice(held, wanted[text], replace=False) for text, held in rows.items()]))
    return Projected(
        pairs.ecgs[chosen], pairs.texts[chosen], [pairs.words[row] for row in chosen], pairs.patients[chosen]
    )


def text_to_ecg_recall(pairs: Projected, samples: int, seed: int) -> tuple[Estimate, float, int]:
    """How many texts find an ECG of their own among the five nearest, each distinct text counting once.

    Resampling is over the texts, by the patients whose ECGs have them; the ECGs that they search stay the same, since
    repeats among these would fill the five places.

    Returns:
        Recall, what five ECGs drawn at random would give, and the number of distinct texts.
    """
    distinct = list(dict.fromkeys(pairs.words))
    number = {text: place for place, text in enumerate(distinct)}
    own = np.array([number[text] for text in pairs.words]) == np.arange(len(distinct))[:, None]
    queries = pairs.texts[own.argmax(axis=1)]
    nearest = np.argsort(-(queries @ pairs.ecgs.T), axis=1, kind="stable")[:, :RECALL_AT]
    found = np.take_along_axis(own, nearest, axis=1).any(axis=1)
    count = own.sum(axis=1)
    chance = 1 - hypergeom.pmf(0, len(pairs), count, min(RECALL_AT, len(pairs)))

    def recall(weights: np.ndarray) -> float:
        drawn = own @ weights / count
        return float(drawn @ found / drawn.sum())

    return metrics.bootstrap(recall, pairs.patients, samples, seed), float(chance.mean()), len(distinct)
