"""White-box membership inference: who did a model learn from, judged by its losses beside those of shadow models?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.privacy.membership import Suspects, judged, of_patients, success
from models.privacy.shadows import Shadows, scores_among_shadows, shadow_scores
from tasks.privacy.attacks.membership import BOUNDS
from tasks.privacy.audit_row import AuditRow, audit_row
from tasks.settings import PrivacySettings


def shadow_rows(
    network: str,
    losses: np.ndarray,
    shadows: Shadows,
    member: np.ndarray,
    patients: np.ndarray,
    settings: PrivacySettings,
) -> Iterator[AuditRow]:
    """How well losses tell whom a network learned from; the reference is what the same attack finds among shadows.

    Args:
        network: its name.
        losses: (n, levels) of the network under attack.
        shadows: models trained alike on half of the pool.
        member: (n,) bool, whom the network learned from.
        patients: (n,) patient of each recording.
    """
    suspects = Suspects(losses, member, patients)
    among, inside = scores_among_shadows(shadows)
    for name, scores in shadow_scores(losses, shadows).items():
        attack = f"{name} of the {network}'s losses"
        known = success(among[name], inside)
        for level, (found, is_member, people) in {
            "records": (scores, member, patients),
            "patients": of_patients(scores, suspects),
        }.items():
            area, shares = judged(found, is_member, people, settings.bootstrap_samples, settings.seed)
            reference = float(known.auc[0]) if level == "records" else None
            yield audit_row(
                attack, f"AUC, {level}", area, len(found), settings, reference=reference, at_most="max_membership_auc"
            )
            for rate, share in shares.items():
                measurable = (~member).sum() * rate >= 1 and level == "records"
                yield audit_row(
                    attack,
                    f"share of members found at {rate:.1%} false positives, {level}",
                    share,
                    len(found),
                    settings,
                    reference=float(known.found[rate][0]) if level == "records" else None,
                    at_most=BOUNDS.get(rate) if measurable else None,
                )
