"""The simulator class of every recording: its main statement, its superclass, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from tasks.conditions.condition import StatementFacts, by_importance

EVERY_RECORDING: Final = "all"
"""The simulator class of recordings whose statements are too rare for their own."""


def wave_classes(metadata: pa.Table, facts: StatementFacts, min_recordings: int = 20) -> tuple[list[str], np.ndarray]:
    """The simulator class of every recording.

    A recording belongs to its main statement if at least `min_recordings` training recordings do; of the rest, to its
    first superclass under the same rule; of the rest, to `EVERY_RECORDING`.

    Args:
        metadata: the rows of the training and validation splits.

    Returns:
        Class names, `EVERY_RECORDING` first, and the (N,) index of each row's class.
    """
    in_training = [split == "train" for split in metadata["split"].to_pylist()]
    codes, superclasses = class_candidates(metadata, facts)
    chosen: list[str] = [EVERY_RECORDING] * metadata.num_rows
    for candidates in (codes, superclasses):
        undecided = [row for row, name in enumerate(chosen) if name == EVERY_RECORDING]
        counts = Counter(name for row in undecided if in_training[row] for name in candidates[row])
        for row in undecided:
            if candidates[row] and counts[candidates[row][0]] >= min_recordings:
                chosen[row] = candidates[row][0]
    names = [EVERY_RECORDING, *sorted(set(chosen) - {EVERY_RECORDING})]
    return names, np.array([names.index(name) for name in chosen], dtype=np.int64)


def known_wave_classes(ecgs: pa.Table, names: Sequence[str], facts: StatementFacts) -> np.ndarray:
    """The simulator class of ECGs that no class was made from, held-out or synthetic: (n,) indices into `names`.

    Of the classes that training made, an ECG belongs to its main statement's; failing that to its first superclass's;
    failing that to `EVERY_RECORDING`.

    Args:
        ecgs: rows of `recordings`, or of `cohorts`, whose statements and superclasses are those asked for.
        names: as `wave_classes` returns them.
    """
    number = {name: index for index, name in enumerate(names)}
    found = [
        next((number[name] for name in (*code, *superclass) if name in number), 0)
        for code, superclass in zip(*class_candidates(ecgs, facts), strict=True)
    ]
    return np.array(found, dtype=np.int64)


def class_candidates(ecgs: pa.Table, facts: StatementFacts) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Main statement and first superclass of each row of `recordings` or `cohorts`, empty where there is none."""
    codes = [
        by_importance([one if isinstance(one, str) else one["code"] for one in statements or []], facts)[:1]
        for statements in ecgs["statements"].to_pylist()
    ]
    return codes, [tuple(names or [])[:1] for names in ecgs["superclasses"].to_pylist()]
