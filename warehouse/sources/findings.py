"""What a source says a recording shows, in our codes: statements, superclasses, and what is a coded view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from warehouse.statements import AXIS_VIEW, CERTAIN, UNKNOWN, Stated, superclasses_of

CodedViews = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Findings:
    """The fields of a `SourceRecord` that say what it shows."""

    statements: tuple[tuple[str, float], ...]
    superclasses: tuple[str, ...]
    coded_views: CodedViews


def findings(
    found: Iterable[Stated | str], views: Mapping[str, Iterable[str]] | None = None, likelihood: float = CERTAIN
) -> Findings:
    """Gather what is stated; of a statement made twice the larger likelihood counts.

    Args:
        found: what the vocabulary knows, and codes under which the rest is kept (`warehouse.statements.foreign`).
        views: what else is coded, by view; empty views are left out.
        likelihood: of what is kept under a code of its own, in percent.
    """
    likelihoods: dict[str, float] = {}
    axes: list[str] = []
    for one in found:
        if isinstance(one, str):
            likelihoods[one] = likelihood
        elif one.statement.axis:
            axes.append(one.statement.code)
        else:
            likelihoods[one.statement.code] = max(one.likelihood, likelihoods.get(one.statement.code, UNKNOWN))
    coded = {AXIS_VIEW: axes, **(views or {})}
    listed = ((view, tuple(dict.fromkeys(codes))) for view, codes in coded.items())
    return Findings(
        tuple(likelihoods.items()),
        superclasses_of(list(likelihoods)),
        tuple((view, codes) for view, codes in listed if codes),
    )
