"""What the statements say of an interval given in milliseconds."""

from __future__ import annotations

from typing import Final

from tasks.conditions.reading.numbers import Rate

LONGEST_NORMAL_MS: Final = {"pr": 200.0, "pq": 200.0, "qtc": 460.0}
"""Surawicz et al., J Am Coll Cardiol 53:976, 2009, and Rautaharju et al., 53:982, 2009 (QTc of women)."""
SHORTEST_WIDE_QRS_MS: Final = 120.0
"""Complete bundle branch block (Surawicz et al., 2009)."""
SHORTEST_NORMAL_PR_MS: Final = 120.0
IMPLIED: Final = {"pr": ("1AVB",), "pq": ("1AVB",), "qtc": ("LNGQT",)}
DENIED: Final = {
    "pr": ("1AVB", "LPR"),
    "pq": ("1AVB", "LPR"),
    "qtc": ("LNGQT",),
    "qrs": ("CLBBB", "CRBBB", "IVCD"),
}


def implied_by(interval: str, ms: Rate) -> tuple[str, ...]:
    """Statements that hold by definition at an interval ("pr", "pq", "qrs", "qtc", "qt") of so many milliseconds."""
    longest = LONGEST_NORMAL_MS.get(interval)
    if longest is None or ms.low is None:
        return ()
    return IMPLIED[interval] if ms.low > longest or (ms.low == longest and ms.high is None) else ()


def denied_by(interval: str, ms: Rate) -> tuple[str, ...]:
    """Statements that cannot hold at it."""
    if ms.high is None or interval not in DENIED:
        return ()
    if interval == "qrs":
        return DENIED["qrs"] if ms.high < SHORTEST_WIDE_QRS_MS or (ms.high <= 120 and ms.low is None) else ()
    if interval in ("pr", "pq") and ms.low is not None and ms.low < SHORTEST_NORMAL_PR_MS:
        return ()
    return DENIED[interval] if ms.high <= LONGEST_NORMAL_MS[interval] else ()
