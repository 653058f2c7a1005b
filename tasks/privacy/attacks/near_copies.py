"""Near copies: is a released ECG a training recording, perhaps shifted, scaled or with noise added?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.ecg.r_peaks import in_samples
from models.evaluation import metrics
from models.leads import INDEPENDENT_LEADS
from models.privacy import membership, near_copies
from tasks.ecg_sets import EcgSet
from tasks.privacy.audit_row import AuditRow, audit_row, exactly
from tasks.settings import PrivacySettings


def near_copy_rows(
    synthetic: EcgSet, members: EcgSet, held_out: EcgSet, rate_hz: int, settings: PrivacySettings
) -> Iterator[AuditRow]:
    """Copies of training recordings; the reference is how often a held-out recording would count as one.

    A copy is an ECG whose eight leads, over the whole recording and at one shift, correlate with a training recording
    beyond the bound. Fewer leads and the mean beat are reported only: healthy people's beats look alike.
    """
    attack, n = "near copy of a training recording", len(synthetic)
    chest = [index for index, lead in enumerate(INDEPENDENT_LEADS) if lead.startswith("V")]
    for what, leads in (
        ("all leads", list(range(len(INDEPENDENT_LEADS)))),
        ("lead II alone", [INDEPENDENT_LEADS.index("II")]),
        ("chest leads alone", chest),
    ):
        of_released, of_held_out = (
            near_copies.closest_correlation(each.signal[:, leads], members.signal[:, leads], rate_hz)[0]
            for each in (synthetic, held_out)
        )
        copies, by_chance = (each >= settings.near_copy_correlation for each in (of_released, of_held_out))
        yield audit_row(
            attack,
            f"share copied, {what}",
            metrics.wilson(int(copies.sum()), n),
            n,
            settings,
            reference=float(by_chance.mean()),
            at_most=settings.max_near_copy_share if what == "all leads" else None,
            bounded="value",
        )
        largest = exactly(np.fmax.reduce(of_released, initial=-1.0))
        chance = float(np.fmax.reduce(of_held_out, initial=-1.0))
        yield audit_row(attack, f"largest correlation, {what}", largest, n, settings, reference=chance)
    beats = [
        membership.mean_beats(each.signal, in_samples(each.r_peaks_s, rate_hz), rate_hz)[0]
        for each in (synthetic, members, held_out)
    ]
    of_released, of_held_out = (near_copies.closest_beat_correlation(each, beats[1]) for each in (beats[0], beats[2]))
    alike, by_chance = (each >= settings.near_copy_correlation for each in (of_released, of_held_out))
    metric = "share with the mean beat of a training recording"
    yield audit_row(attack, metric, metrics.wilson(int(alike.sum()), n), n, settings, reference=float(by_chance.mean()))
