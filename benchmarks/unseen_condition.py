"""Does knowledge of a condition that no recording was learned from help to show it?

A flow was trained without the recordings of a statement (`python -m benchmarks.flow_training --without CODE`), but with
a knowledge base that describes it. It is asked for what the validation recordings of that statement are: by name only,
with the sentences of the entries retrieved, with the quartiles of what their patients measure, and with both, from the
same seeds. What is compared is the share of the statement's criteria, textbook rules and kept claims, that the ECGs
satisfy, beside that of the recordings themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.compute as pc

from benchmarks.swap import share_satisfied
from models.conditioning import KNOWLEDGE_FIELDS
from models.evaluation.metrics import mean_estimate
from tasks.conditions.condition import conditions_of
from tasks.conditions.criteria import kept_claims, textbook_criteria
from tasks.ecg_sets import EcgSet, read_recordings
from tasks.settings import CohortSettings
from tasks.training.model_folder import condition_embedder, load_config, load_generator
from warehouse.errors import EinthovenError
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

HIDDEN: Final[Mapping[str, tuple[str, ...]]] = {
    "by name only": KNOWLEDGE_FIELDS,
    "with sentences": ("measurements",),
    "with measurements": ("knowledge",),
    "with both": (),
}
"""What is asked with to the fields of the condition that are hidden."""
ROWS, BOOTSTRAP, SEED = 64, 500, 1


def unseen_condition(
    store: Store, folder: Path, recordings: Reference, knowledge: Reference, code: str, rows: int = ROWS
) -> list[str]:
    """Ask a model for a condition that it has not seen.

    Args:
        store: the warehouse.
        folder: of a flow that was trained without the recordings of a statement.
        recordings: what it was trained on.
        knowledge: a knowledge base with an entry about the statement.
        code: the statement.
        rows: recordings whose conditions are asked for, at most.

    Returns:
        A line per way of asking, and one for the recordings.

    Raises:
        EinthovenError: no validation recording holds the statement, or no entry or criterion is about it.
    """
    config, generator = load_config(folder), load_generator(folder)
    table = store.read(knowledge, "knowledge")
    criteria = [*textbook_criteria(), *kept_claims(store, knowledge)]
    known = read_recordings(store, recordings, "validation")
    held = np.flatnonzero([code in codes for codes in known.statements])[:rows]
    if not len(held) or not pc.any(pc.equal(table["statement"], code)).as_py():
        raise EinthovenError(
            f"no validation recording holds {code}, or {knowledge} has no entry about it; name another"
        )
    real: EcgSet = known.take(held)
    asked, _ = condition_embedder(config, table)(conditions_of(real.table, config.statements, config.findings))
    seeds, sampling = list(range(len(held))), CohortSettings().sampling
    shares = {"recordings": real.signal} | {
        name: generator.sample(asked.without(*hidden), seeds, **sampling).numpy() for name, hidden in HIDDEN.items()
    }
    found = {
        name: share_satisfied(signal, criteria, code, config.generator.sampling_rate_hz)
        for name, signal in shares.items()
    }
    if not np.isfinite(found["recordings"]).any():
        raise EinthovenError(f"no textbook rule and no kept claim is about {code}; name another statement")
    lines = [f"{code}, {len(held)} conditions, share of its criteria satisfied:"]
    for name, each in found.items():
        value, low, high = mean_estimate(each, np.arange(len(each)), BOOTSTRAP, SEED)
        lines.append(f"  {name}: {value:.3f} ({low:.3f} to {high:.3f})")
    value, low, high = mean_estimate(found["with both"] - found["by name only"], np.array(seeds), BOOTSTRAP, SEED)
    return [*lines, f"  rise by knowledge, paired by seed: {value:+.3f} ({low:+.3f} to {high:+.3f})"]
