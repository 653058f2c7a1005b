"""Self-augmentation: a generator trained on the share's patients alone, by the same flows as every other.

It works in a warehouse of its own, so that queries of the main one do not find parts of its recordings twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.augmentation.lineage import check_self_augmentation, patients_of
from benchmarks.augmentation.shares import share_of_patients
from models.evaluation.metrics import patient_numbers
from tasks.settings import Settings
from tasks.stage import Result, Stage, commit_once
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference
from warehouse.storage.store import Staging, Store

SHARE: Final = Stage("take a share of recordings", makes="recordings", code_version=1)


def share_of_recordings(
    store: Store, recordings: Reference, own: Store, settings: Settings, share: float, draw: int
) -> Reference:
    """Commit the training recordings of a share of patients, and the validation recordings, as a dataset of its own.

    No network learns from the validation recordings; training reports its loss on them. The test recordings are left
    out.

    Args:
        store: holds the recordings.
        own: receives the share.
        settings: whose ingestion section the manifest keeps.
        share, draw: as `shares.share_of_patients` takes them.
    """

    def build(staging: Staging) -> Result:
        table = store.read(recordings, "recordings")
        train = table.filter(pc.equal(table["split"], "train"))
        numbers = patient_numbers(train["patient_key"].to_numpy(zero_copy_only=False))
        chosen = train.take(np.flatnonzero(share_of_patients(numbers, share, draw)))
        validation = table.filter(pc.equal(table["split"], "validation"))
        kept = pa.concat_tables([chosen, validation]).combine_chunks()
        staging.write_table("recordings", 0, kept)
        facts = store.facts(recordings, RecordingsFacts)
        splits = {"train": chosen.num_rows, "validation": validation.num_rows, "test": 0}
        return Result(rows=kept.num_rows, facts=facts.model_copy(update={"splits": splits, "quarantined": {}}))

    return commit_once(SHARE, settings.ingestion, [recordings], own, build, {"share": share, "draw": draw})


def own_cohort(
    settings: Settings, store: Store, recordings: Reference, share: float, draw: int, folder: Path
) -> tuple[Store, Reference, Reference]:
    """Train on a share alone, generate a cohort, and simulate one from the same few recordings.

    Whatever is there is found again, so that a killed call goes on.

    Args:
        settings: of the generator and the cohort; their seeds become `draw`.
        folder: of the warehouse in which this happens.

    Returns:
        That warehouse, the cohort of the generator, and that of the simulator alone.

    Raises:
        AugmentationError: the generator saw more than the share.
    """
    from benchmarks.ablation_runs import simulate_cohort
    from flows.generate import generate_cohort
    from flows.knowledge import build_knowledge_base
    from flows.train import train_model

    own = Store(str(folder))
    few = share_of_recordings(store, recordings, own, settings, share, draw)
    changed = settings.model_copy(
        update={
            "warehouse": settings.warehouse.model_copy(update={"uri": str(folder)}),
            "training": settings.training.model_copy(update={"seed": draw}),
            "cohort": settings.cohort.model_copy(update={"seed": draw}),
        }
    )
    knowledge = build_knowledge_base(changed, few)
    cohort = generate_cohort(changed, few, knowledge, train_model(changed, few, knowledge))
    simulated = simulate_cohort(changed, few)
    of_share = patients_of(own, few, "train")
    for one in (cohort, simulated):
        check_self_augmentation(own, one, of_share)
    return own, cohort, simulated
