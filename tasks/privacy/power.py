"""Power: in how many trials does an attack break its bound when canaries are planted? An attack without power proves
nothing."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np

from models.privacy import canaries
from tasks.privacy.attacks.membership import THROUGHOUT
from tasks.privacy.audit_row import AuditRow
from tasks.privacy.audited import NEEDED_SHARE, SHARES, Audited, planted_rows
from tasks.settings import PrivacySettings

SIZES: Final = (100, 500, 2_000)
"""Rows of smaller cohorts, the first ones of this one, for the curve of power against size."""

Bound = tuple[str, str]
"""Attack and metric of a bounded row."""
Trial = tuple[str, float, int]
"""Kind of canary, planted share and rows of the cohort."""
Powers = dict[Bound, dict[Trial, list[bool]]]
"""In which trials each bound was broken."""
NOTHING: Final = "nothing"
"""Planted: what breaks a bound without canaries is no power. Of few rows, an interval is wider than its bound."""


class Attack(Protocol):
    """What can be asked whether canaries break its bounds."""

    def broken(self, kind: str, chosen: np.ndarray, rows: int) -> dict[Bound, bool]:
        """Whether each bound is broken by the chosen canaries of a kind beside the cohort's first rows."""

    def rows(self) -> Iterator[AuditRow]:
        """Rows of the `audits` table."""


def measured_power(
    audited: Audited,
    attacks: Sequence[Attack],
    settings: PrivacySettings,
    logger: logging.Logger | logging.LoggerAdapter[Any],
) -> Powers:
    """In which of `settings.trials` canaries break each bound, by kind, share and size of the cohort.

    Smaller cohorts are this one's first rows; of attacks on people they keep the width of the interval.
    """
    rng = np.random.default_rng(settings.seed)
    broken: dict[Bound, dict[Trial, list[bool]]] = defaultdict(lambda: defaultdict(list))
    rows = len(audited.synthetic)
    sizes = (*(size for size in SIZES if size < rows), rows)
    for size in sizes:
        for attack in attacks:
            for bound, found in attack.broken(canaries.BEATS, np.empty(0, np.int64), size).items():
                broken[bound][NOTHING, 0.0, size].append(found)
    plans = [(kind, kind, share) for kind in canaries.KINDS for share in SHARES]
    for name, kind, share in [*plans, (THROUGHOUT, canaries.BEATS, 0.5)]:
        pool = len(audited.planted[kind].sources)
        for _ in range(settings.trials):
            for size in sizes:
                count = planted_rows(share, size)
                chosen = rng.choice(pool, count, replace=count > pool)
                for attack in attacks:
                    for bound, found in attack.broken(kind, chosen, size).items():
                        broken[bound][name, share, size].append(found)
        logger.info("audit cohort: power against %s, %.1f %% of rows", name, 100 * share)
    return broken


def with_power(rows: list[AuditRow], powers: Powers, size: int) -> list[AuditRow]:
    """The same rows, bounded ones with their power against the canary that they are for."""
    found = []
    for row in rows:
        of_bound = powers.get((row["attack"], row["metric"]), {})
        share = 0.5 if row["canary"] == THROUGHOUT else NEEDED_SHARE
        trials = of_bound.get((row["canary"], share, size))
        found.append({**row, "power": float(np.mean(trials)) if trials else None} if row["canary"] else row)
    return found


def powerless(rows: list[AuditRow], settings: PrivacySettings) -> list[str]:
    """Bounds that do not find the canaries that they are for."""
    return [
        f"{row['attack']}: {row['metric']} (power {row['power'] or 0:.2f} against {row['canary']})"
        for row in rows
        if row["canary"] and (row["power"] or 0) < settings.min_power
    ]
