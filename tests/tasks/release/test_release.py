"""Publishing: the gate, idempotence, the catalog, and a release that Prefect can show."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from prefect import flow
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness

from tasks.release.task import publish_release
from tasks.settings import ReleaseSettings
from tests.tiny_pipeline import TinyPipeline
from warehouse.catalog.catalog import query
from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseInputs
from warehouse.release.releases import versions
from warehouse.release.verification import verify_release
from warehouse.storage.reference import Reference
from warehouse.storage.store import Store

SETTINGS = ReleaseSettings(name="tiny", title="Tiny cohort", citation="Nobody 2026")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "warehouse"))


def publish(store: Store, inputs: ReleaseInputs, settings: ReleaseSettings = SETTINGS) -> Reference:
    return publish_release.fn(settings, inputs.cohort, inputs.evaluation, inputs.audit, inputs.model, str(store.root))


def test_publishes_a_sound_release_that_the_catalog_shows(store: Store) -> None:
    inputs = TinyPipeline(store).commit()
    release = publish(store, inputs)
    assert (release.kind, release.rows) == ("release", 24)
    assert Path(release.uri) == store.root / "releases" / "tiny" / "v1"
    assert all(finding.ok for finding in verify_release(Path(release.uri)))
    assert "<h1>Tiny cohort</h1>" in (Path(release.uri) / "report.html").read_text()
    answer = query(store, "select name, version, current, rows, simulated_source, cohort_id from releases")
    assert answer.rows == [("tiny", "v1", True, 24, True, inputs.cohort.id)]


def test_publishing_twice_makes_one_version_and_says_so(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    inputs = TinyPipeline(store).commit()
    first = publish(store, inputs)
    caplog.set_level(logging.INFO, logger="einthoven")
    assert publish(store, inputs) == first
    assert "skipped, it is already there: tiny v1" in caplog.text
    assert versions(store, "tiny") == [1]


def test_other_settings_make_the_next_version(store: Store) -> None:
    inputs = TinyPipeline(store).commit()
    publish(store, inputs)
    publish(store, inputs, SETTINGS.model_copy(update={"title": "Other"}))
    assert versions(store, "tiny") == [1, 2]


def test_failed_gate_publishes_nothing_and_leaves_current(store: Store) -> None:
    publish(store, TinyPipeline(store).commit())
    current = store.root / "releases" / "tiny" / "current"
    before = current.readlink()
    failing = TinyPipeline(store, seed=2, membership_auc=0.9).commit()
    with pytest.raises(ReleaseError, match=r"nothing was published.*AUC by distance: 0.9"):
        publish(store, failing)
    assert versions(store, "tiny") == [1]
    assert current.readlink() == before
    assert store.find("audit", failing.audit.id) is not None


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("drawn like the ECG in /home/someone/ptbxl/records", "the path"),
        ("as in records100/00000/00017_lr", "the path of a source record"),
        ("report 7 of the patient who came in with palpitations at night", "word for word"),
    ],
)
def test_a_cohort_that_gives_something_away_is_refused(store: Store, text: str, leak: str) -> None:
    inputs = TinyPipeline(store, cohort_text=text).commit()
    with pytest.raises(ReleaseError, match=rf"would give away .*column 'text'.*{leak}"):
        publish(store, inputs)
    assert versions(store, "tiny") == []


def test_a_patient_key_in_a_setting_is_refused(store: Store) -> None:
    plain = TinyPipeline(store).commit()
    key = store.read(_recordings(store, plain), "recordings", ["patient_key"])["patient_key"][0].as_py()
    inputs = TinyPipeline(store, settings={"cohort": {"note": f"like {key}"}}).commit()
    with pytest.raises(ReleaseError, match=r"MANIFEST.json: a patient_key"):
        publish(store, inputs)
    assert versions(store, "tiny") == []


def _recordings(store: Store, inputs: ReleaseInputs) -> Reference:
    return next(one for one in store.manifest(inputs.audit).lineage.inputs if one.kind == "recordings")


@pytest.mark.slow
def test_a_prefect_run_shows_the_release_as_artifacts(store: Store) -> None:
    inputs = TinyPipeline(store).commit()

    @flow
    def release_only() -> Reference:
        return publish_release(SETTINGS, inputs.cohort, inputs.evaluation, inputs.audit, inputs.model, str(store.root))

    with prefect_test_harness(server_startup_timeout=120):
        release = release_only()
        summary, metrics = (str(Artifact.get(key)) for key in ("release-tiny", "release-tiny-metrics"))
    assert "SIMULATED SOURCE" in summary
    assert Path(release.uri).as_uri() in summary
    assert "macro AUC" in metrics
    assert "membership inference" in metrics
