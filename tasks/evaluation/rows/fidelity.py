"""Rows of the `evaluations` table about fidelity: how synthetic ECGs are distributed beside real ones.

Real means held out: validation and test recordings, whose patients neither generator nor reference classifier has seen.
The real-vs-real value is that of training recordings against held-out ones, at the same n; it holds what the reference
classifier overfits on the training recordings, so it is not quite the best value that synthetic ECGs could reach.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.decomposition import PCA

from models.evaluation import fidelity, metrics
from models.evaluation.metrics import Estimate
from tasks.ecg_sets import EcgSet
from tasks.evaluation.rows.compared import Compared
from tasks.evaluation.rows.row import EvaluationRow, evaluation_row

DRAWS = 20
"""Times that fidelity is measured on random subsets."""
DRAWN_SHARE = 0.8
"""Subset size relative to the smallest set, so that every set varies between draws."""


def fidelity_rows(compared: Compared) -> Iterator[EvaluationRow]:
    """FID, KID, precision, recall, density, coverage and discriminator AUC against held-out recordings.

    Of synthetic ECGs; of training recordings through the autoencoder ("reconstruction"), which is what a perfect
    denoiser would come to; and of the training recordings themselves. None of the three shares a patient with the
    held-out recordings; reconstructions of these themselves would seem closer than any generator can come.
    """
    sizes = [len(compared.features[name]) for name in ("train", "held_out", "synthetic")]
    n, seed = int(DRAWN_SHARE * min(sizes)), compared.seed
    if n < 2:
        return
    space = fidelity.fit_principal_components(compared.features["train"], n)
    real, synthetic = (_distances(compared, space, name, n) for name in ("train", "synthetic"))
    floor = {} if compared.reconstructed is None else _distances(compared, space, "reconstructed", n)
    for metric, found in synthetic.items():
        yield evaluation_row("fidelity", metric, "synthetic", found, n, seed, reference=real[metric].value)
        if metric in floor:
            yield evaluation_row(
                "fidelity", metric, "reconstruction", floor[metric], n, seed, reference=real[metric].value
            )
        yield evaluation_row("fidelity", metric, "real training recordings", real[metric], n, seed)
    real_auc = _discriminator(compared, compared.train).value
    for subject, other in (("synthetic", compared.synthetic), ("reconstruction", compared.reconstructed)):
        if other is not None:
            found, n = _discriminator(compared, other), 2 * min(len(compared.held_out), len(other))
            yield evaluation_row("fidelity", "discriminator AUC", subject, found, n, seed, reference=real_auc)


def _distances(compared: Compared, space: PCA, name: str, n: int) -> dict[str, Estimate]:
    """Each measure as mean and 2.5-97.5 % range over random subsets of size n, drawn without replacement.

    Drawing with replacement, as a bootstrap does, would bias FID and KID upwards: repeats shrink a covariance.
    """
    rng = np.random.default_rng(compared.seed)
    real, other = space.transform(compared.features["held_out"]), space.transform(compared.features[name])
    found: list[dict[str, float]] = []
    for _ in range(DRAWS):
        one, two = (rng.choice(len(each), n, replace=False) for each in (real, other))
        first, second = real[one], other[two]
        found.append(
            {
                "FID": fidelity.frechet_distance(first, second),
                "KID": fidelity.kernel_distance(first, second),
                **fidelity.manifold_overlap(first, second),
            }
        )
    values = {metric: np.array([each[metric] for each in found]) for metric in found[0]}
    return {metric: metrics.percentile_interval(float(each.mean()), each) for metric, each in values.items()}


def _discriminator(compared: Compared, other: EcgSet) -> Estimate:
    """How well spectra and measurements tell a set from held-out recordings, equally many of each."""
    rng = np.random.default_rng(compared.seed)
    n = min(len(compared.held_out), len(other))
    first, second = (each.take(rng.choice(len(each), n, replace=False)) for each in (compared.held_out, other))
    described = [
        np.concatenate([fidelity.spectral_descriptors(each.signal, compared.rate_hz), each.measurements], axis=1)
        for each in (first, second)
    ]
    patients = metrics.patient_numbers(np.concatenate([first.patients, second.patients]))
    scores = fidelity.discriminator_scores(described[0], described[1], patients, compared.seed)
    if not np.isfinite(scores).all():
        return metrics.UNKNOWN
    return metrics.auc(np.repeat([False, True], n), scores, patients, compared.samples, compared.seed)
