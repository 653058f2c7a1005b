"""Everything that is trained on or reported on, as folders of arrays: written once, found again by the next call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from benchmarks.augmentation.comparison import MadeEcgs
from benchmarks.augmentation.data import AugmentationError, Ecgs, from_ecg_set, read_release
from benchmarks.augmentation.lineage import check_release, patients_of, patients_seen
from benchmarks.augmentation.sites import Site, read_site, site_labels
from benchmarks.augmentation.tables import ReportedSet
from tasks.ecg_sets import EcgSet, LearningSplit, read_cohort, read_recordings, read_reported
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import Reference, digest
from warehouse.storage.store import MANIFEST, Store
from warehouse.storage.whole_files import sha256_of


@dataclass(frozen=True)
class Cohort:
    """Synthetic ECGs that a call was given.

    Attributes:
        name: how tables call it.
        made: its id and folder.
        count: its ECGs.
        patients_seen: patients that its generator learned from; None where nobody can say here.
    """

    name: str
    made: MadeEcgs
    count: int
    patients_seen: int | None


@dataclass(frozen=True)
class Inputs:
    """Arrays of one `recordings` dataset and of what is compared on it.

    Attributes:
        store: the warehouse.
        recordings: the real ones.
        folder: where arrays are kept.
    """

    store: Store
    recordings: Reference
    folder: Path

    @property
    def facts(self) -> RecordingsFacts:
        """Of the recordings."""
        return self.store.facts(self.recordings, RecordingsFacts)

    @property
    def codes(self) -> list[str]:
        """Every statement of the recordings' source."""
        return sorted(self.facts.statements)

    def split(self, name: LearningSplit) -> str:
        """Folder of the recordings that classifiers learn from, or of those that choices are made on."""
        return self._arrays(f"{self.recordings.id}-{name}", lambda: read_recordings(self.store, self.recordings, name))

    def reported(self) -> str:
        """Folder of the test split, which is predicted and scored once everything is chosen."""
        return self._arrays(f"{self.recordings.id}-test", lambda: read_reported(self.store, self.recordings, "test"))

    def cohort(self, identifier: str) -> Cohort:
        """A cohort of this warehouse as a release that a consumer would get.

        Raises:
            AugmentationError: it is not there, or its generator saw patients of the validation or test split.
        """
        cohort = self.store.find("cohort", identifier)
        if cohort is None:
            raise AugmentationError(f"no cohort {identifier} in {self.store.root}; einthoven generate makes one")
        check_release(self.store, cohort, patients_of(self.store, self.recordings, "validation", "test"))
        made = MadeEcgs(synthetic=cohort.id, synthetic_folder=self.of_cohort(self.store, cohort))
        cohort_settings = self.store.manifest(cohort).lineage.settings
        guidance = cohort_settings.get("trait_guidance", "unknown")
        name = f"{cohort.id}, trait guidance {guidance}"
        return Cohort(name, made, cohort.rows, len(patients_seen(self.store, cohort)))

    def release(self, folder: Path) -> Cohort:
        """A release on disk; what its generator saw is known to its publisher only."""
        if not (folder / MANIFEST).is_file():
            raise AugmentationError(f"{folder} has no {MANIFEST}; give the folder of one version of a release")
        identifier = digest("release", sha256_of(folder / MANIFEST))
        place = self._arrays(f"release-{identifier}", lambda: read_release(folder))
        count = len(Ecgs.open(place))
        return Cohort(f"{folder.parent.name} {folder.name}", MadeEcgs(identifier, place), count, None)

    def of_cohort(self, store: Store, cohort: Reference) -> str:
        """Folder of a cohort's arrays, wherever the cohort is."""
        return self._arrays(f"cohort-{cohort.id}", lambda: read_cohort(store, cohort))

    def sites(self, folders: dict[Site, Path]) -> tuple[list[tuple[str, ReportedSet]], dict[str, dict[str, int]]]:
        """Folder and recordings of each site, and how many of its recordings were refused for which reason."""
        found: list[tuple[str, ReportedSet]] = []
        refused: dict[str, dict[str, int]] = {}
        for site, folder in folders.items():
            ecgs, reasons = read_site(site, folder, self.codes, self.facts.sampling_rate_hz, self.facts.samples)
            # Read each time: what it holds depends on the mapping and on the folder, and takes seconds.
            place = self.folder / f"{site}-{digest(site, ecgs.statements.tolist(), ecgs.superclasses.tolist())}"
            if not place.exists():
                ecgs.save(place)
            labels = site_labels()[site]
            found.append((str(place), ReportedSet(site, ecgs, labels.superclasses, labels.statements)))
            refused[site] = dict(reasons)
        return found, refused

    def training_patient_keys(self) -> Sequence[str]:
        """Patient key of each training recording, in the order of the arrays of `split("train")`."""
        table = self.store.read(self.recordings, "recordings", ["patient_key", "split"])
        return table.filter(pc.equal(table["split"], "train"))["patient_key"].to_pylist()

    def _arrays(self, name: str, read: Callable[[], EcgSet]) -> str:
        place = self.folder / name
        if not place.exists():
            from_ecg_set(read(), self.codes, self.facts.sampling_rate_hz).save(place)
        return str(place)
