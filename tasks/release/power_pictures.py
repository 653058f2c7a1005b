"""Pictures of the power of each attack in a release's audit, for the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from models.privacy.canaries import BEATS
from tasks.drawing import report_figures as figures
from tasks.drawing.power_figures import Points, draw_power
from tasks.privacy.attacks.membership import THROUGHOUT
from tasks.privacy.audited import NEEDED_SHARE
from tasks.release.picture import Picture
from warehouse.release.content import ReleaseContent
from warehouse.storage.facts import CanaryPower

THROUGHOUT_SHARE = 0.5
KINDS = {THROUGHOUT: (BEATS, THROUGHOUT)}
"""Canaries that are of one kind and differ in their share only, so that one curve shows both."""


def power_pictures(content: ReleaseContent) -> Iterator[Picture]:
    """A picture per attack that has power measured, against the canary that decides on its bound."""
    tested = [row for row in content.audit if row["threshold"] is not None and row["canary"]]
    by_attack: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in tested:
        by_attack[row["attack"], row["canary"]].append(row)
    for (attack, canary), rows in by_attack.items():
        if lines := curves(rows, content.audit_facts.power):
            share = THROUGHOUT_SHARE if canary == THROUGHOUT else NEEDED_SHARE
            data = figures.svg(draw_power(lines, share, content.min_power))
            values = "; ".join(
                f"{label}: " + ", ".join(f"{100 * power:.0f} % at {100 * at:g} %" for at, power in points)
                for label, points in lines.items()
            )
            title = f"{attack[:1].upper()}{attack[1:]}: planted are {canary}."
            yield Picture(data, f"Power of an attack by the planted share of rows. {title} {values}.", title)


def curves(rows: Sequence[dict[str, Any]], power: Sequence[CanaryPower]) -> dict[str, Points]:
    """Lines of one attack: one per cohort size if it has one bound, else one per bound, for the whole cohort.

    Args:
        rows: the attack's bounded rows of the audit.
        power: of all attacks.
    """
    found: dict[str, Points] = {}
    for row in rows:
        kinds = KINDS.get(row["canary"], (row["canary"],))
        trials = [one for one in power if (one.attack, one.metric) == (row["attack"], row["metric"])]
        trials = [one for one in trials if one.canary in kinds]
        sizes = sorted({one.rows for one in trials})
        for size in sizes if len(rows) == 1 else sizes[-1:]:
            label = f"{size:,} ECGs" if len(rows) == 1 else row["metric"]
            found[label] = sorted((one.share, one.power) for one in trials if one.rows == size)
    return found
