"""Which recordings a generator saw: read from the manifests of everything that its cohort was made from."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

import pyarrow.compute as pc

from benchmarks.augmentation.data import AugmentationError
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

KNOWN: Final = ("recordings", "knowledge", "autoencoder", "model", "cohort")


def recordings_behind(store: Store, cohort: Reference) -> list[Reference]:
    """All recordings that a cohort, its model, autoencoder or knowledge base was made from.

    Raises:
        AugmentationError: something in between is gone, so that nobody can say what the generator saw.
    """
    found: dict[str, Reference] = {}
    queue, looked_at = [cohort], set()
    while queue:
        one = queue.pop()
        if one.id in looked_at or one.kind not in KNOWN:
            continue
        looked_at.add(one.id)
        here = store.find(one.kind, one.id)
        if here is None:
            raise AugmentationError(f"{cohort} was made from {one.kind} {one.id}, which is not in {store.root}")
        if one.kind == "recordings":
            found[one.id] = here
        else:
            queue += store.manifest(here).lineage.inputs
    if not found:
        raise AugmentationError(f"{cohort} does not say from which recordings it was made")
    return list(found.values())


def patients_of(store: Store, recordings: Reference, *splits: str) -> set[str]:
    """Patient keys of some splits of recordings."""
    table = store.read(recordings, "recordings", ["patient_key", "split"])
    return {key for split in splits for key in table.filter(pc.equal(table["split"], split))["patient_key"].to_pylist()}


def patients_seen(store: Store, cohort: Reference) -> set[str]:
    """Patients of all training recordings behind a cohort."""
    return {patient for one in recordings_behind(store, cohort) for patient in patients_of(store, one, "train")}


def check_self_augmentation(store: Store, cohort: Reference, of_share: Set[str]) -> None:
    """Refuse a cohort whose generator saw other patients than those of the share.

    Args:
        of_share: patient keys of the share.

    Raises:
        AugmentationError: it did, or nobody can say.
    """
    if more := patients_seen(store, cohort) - of_share:
        raise AugmentationError(
            f"{cohort} is no self-augmentation: its generator saw {len(more):,} patients that are not in the share of "
            f"{len(of_share):,}; train one on the share alone"
        )


def check_release(store: Store, cohort: Reference, held_out: Set[str]) -> None:
    """Refuse a cohort whose generator saw patients that results are chosen or reported on.

    Args:
        held_out: patient keys of the validation and test splits.

    Raises:
        AugmentationError: it did, or nobody can say.
    """
    if shared := patients_seen(store, cohort) & held_out:
        raise AugmentationError(
            f"{cohort}: its generator learned from {len(shared):,} patients of folds that choices and reports use"
        )
