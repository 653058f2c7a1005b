"""Releases are versioned, immutable and appear whole or not at all; the gate and the leak check keep them safe."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import mlcroissant as mlc
import pyarrow as pa
import pytest

from tests.tiny_pipeline import SAMPLES, TinyPipeline, publish_tiny
from tests.warehouse.hashed_files import count_hashed_files
from warehouse.errors import ReleaseError
from warehouse.release.content import ReleaseInputs, recordings_behind
from warehouse.release.gate import require_releasable
from warehouse.release.leaks import find_leaks, forbidden_of
from warehouse.release.releases import find_release, versions
from warehouse.release.verification import verify_release
from warehouse.storage.facts import RecordingsFacts
from warehouse.storage.reference import digest
from warehouse.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "warehouse"))


@pytest.fixture
def inputs(store: Store) -> ReleaseInputs:
    return TinyPipeline(store).commit()


@pytest.fixture
def release(store: Store, inputs: ReleaseInputs) -> Path:
    return publish_tiny(store, inputs)


def test_release_holds_every_file_and_its_checksums_verify(release: Path) -> None:
    names = {path.name for path in release.iterdir()}
    assert names == {
        "cohorts",
        "croissant.json",
        "README.md",
        "STEWARD.md",
        "report.html",
        "evaluation.json",
        "audit.json",
        "MANIFEST.json",
        "SHA256SUMS",
    }
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": OK") == 8  # one part, six documents, the manifest


def test_every_document_of_a_release_is_read_once_to_be_hashed(
    store: Store, inputs: ReleaseInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its verification: documents are hashed as they are written."""
    hashed = count_hashed_files(monkeypatch)
    release = publish_tiny(store, inputs)
    staging = store.staging_folder("release", "0123456789abcdef")
    of_release = {path.relative_to(staging).as_posix(): times for path, times in hashed.items()}
    names = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    # Sealing hashes the manifest, which cannot hold its own checksum; Parquet is hashed when it is on disk.
    twice = {"MANIFEST.json": 2, "cohorts/part-00000.parquet": 2}
    assert of_release == dict.fromkeys(names - {"SHA256SUMS"}, 1) | twice


def test_a_part_damaged_since_its_commit_is_not_released(store: Store, inputs: ReleaseInputs) -> None:
    part = store.path(inputs.cohort) / "cohorts" / "part-00001.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(ReleaseError, match=r"part-00001\.parquet changed since cohort .* was committed"):
        publish_tiny(store, inputs)
    assert versions(store, "tiny") == []


def test_release_files_are_read_only(release: Path) -> None:
    for path in (path for path in release.rglob("*") if path.is_file()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o444, path


def test_manifest_states_lineage_without_places(store: Store, inputs: ReleaseInputs, release: Path) -> None:
    manifest = json.loads((release / "MANIFEST.json").read_text())
    kinds = {step["kind"] for step in manifest["lineage"]}
    assert kinds == {"cohort", "evaluation", "audit", "model", "knowledge", "recordings", "source"}
    cohort = next(step for step in manifest["lineage"] if step["kind"] == "cohort")
    assert cohort["settings"]["size"] == 24
    assert cohort["id"] == inputs.cohort.id
    assert cohort["libraries"]["pyarrow"]
    assert "clinic-7" not in json.dumps(manifest)
    assert str(store.root) not in json.dumps(manifest)


def test_settings_that_name_places_are_left_out(store: Store) -> None:
    inputs = TinyPipeline(
        store, settings={"recordings": {"path": "/data/clinic-7/ptbxl", "nested": {"uri": "/x/y"}}}
    ).commit()
    text = (publish_tiny(store, inputs) / "MANIFEST.json").read_text()
    assert "clinic-7" not in text
    assert "/x/y" not in text
    assert '"nested"' in text


def test_second_release_gets_the_next_version_and_current_follows(
    store: Store, inputs: ReleaseInputs, release: Path
) -> None:
    before = (release / "MANIFEST.json").read_bytes()
    second = publish_tiny(store, inputs, identifier="another-id")
    assert [release.name, second.name] == ["v1", "v2"]
    current = store.root / "releases" / "tiny" / "current"
    assert current.readlink() == Path("v2")
    assert (release / "MANIFEST.json").read_bytes() == before


def test_the_same_release_is_found_not_made_again_and_current_does_not_go_back(
    store: Store, inputs: ReleaseInputs, release: Path
) -> None:
    publish_tiny(store, inputs, identifier="another-id")
    again = publish_tiny(store, inputs)
    assert again == release
    assert versions(store, "tiny") == [1, 2]
    assert (store.root / "releases" / "tiny" / "current").readlink() == Path("v2")


PUBLISHER = """
import sys
from tests.tiny_pipeline import TinyPipeline, publish_tiny
from warehouse.storage.store import Store

store = Store(sys.argv[1])
inputs = TinyPipeline(store).commit()
print("ready", flush=True)
sys.stdin.readline()
print(publish_tiny(store, inputs, identifier=sys.argv[2]).name)
"""


@pytest.mark.parametrize(("identifiers", "made"), [(("aaaa", "aaaa"), [1]), (("aaaa", "bbbb"), [1, 2])])
def test_of_two_publishers_at_once_one_wins_and_the_other_finds_its_release_or_comes_next(
    store: Store, inputs: ReleaseInputs, identifiers: tuple[str, str], made: list[int]
) -> None:
    publishers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(store.root), identifier],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for identifier in identifiers
    ]
    for one in publishers:
        assert one.stdout and one.stdout.readline() == "ready\n"
    for one in publishers:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    printed = [one.communicate(timeout=300) for one in publishers]
    assert [one.returncode for one in publishers] == [0, 0], printed
    assert versions(store, "tiny") == made
    assert sorted({out.strip() for out, _ in printed}) == [f"v{number}" for number in made]
    current = store.root / "releases" / "tiny" / "current"
    assert current.readlink() == Path(f"v{made[-1]}")
    for number in made:
        assert all(finding.ok for finding in verify_release(current.parent / f"v{number}"))


KILLED = """
import os, signal, sys
import warehouse.release.releases as release
from tests.tiny_pipeline import TinyPipeline, publish_tiny
from warehouse.storage.store import Store

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

store = Store(sys.argv[1])
inputs = TinyPipeline(store).commit()
if sys.argv[2] == "before rename":
    release.seal = die
else:
    release._move_current = die
publish_tiny(store, inputs)
"""


@pytest.mark.parametrize(("moment", "visible"), [("before rename", []), ("before current moves", [1])])
def test_killed_publisher_leaves_nothing_half_visible_and_the_next_run_ends_well(
    store: Store, moment: str, visible: list[int]
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(store.root), moment], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert versions(store, "tiny") == visible
    assert not (store.root / "releases" / "tiny" / "current").exists()
    release = publish_tiny(store, TinyPipeline(store).commit())
    assert release.name == "v1"
    assert versions(store, "tiny") == [1]
    assert (store.root / "releases" / "tiny" / "current").resolve() == release


def test_failed_verification_publishes_nothing(store: Store) -> None:
    inputs = TinyPipeline(store, cohort_text="see /home/someone/recordings/12.hea").commit()
    with pytest.raises(ReleaseError, match=r"no identifiers.*column 'text'.*/home/someone"):
        publish_tiny(store, inputs)
    assert versions(store, "tiny") == []


def test_croissant_loads_the_records(release: Path) -> None:
    dataset = mlc.Dataset(str(release / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    records = {record["cohorts/row_number"]: record for record in dataset.records("cohorts")}
    assert sorted(records) == list(range(24))
    assert records[0]["cohorts/ecg_id"] == b"tiny-000000"
    assert len(records[0]["cohorts/lead_ii"]) == SAMPLES
    assert records[0]["cohorts/pr_ms"] is None
    fields = dataset.metadata.record_sets[0].fields
    assert all(field.description for field in fields)


def test_croissant_has_the_fields_for_responsible_ai(release: Path) -> None:
    described = json.loads((release / "croissant.json").read_text())
    assert described["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert described["@context"]["rai"] == "http://mlcommons.org/croissant/RAI/"
    metadata = mlc.Dataset(str(release / "croissant.json")).metadata
    for name in (
        "data_collection",
        "data_limitations",
        "data_biases",
        "personal_sensitive_information",
        "data_use_cases",
        "data_social_impact",
        "data_release_maintenance_plan",
    ):
        assert getattr(metadata, name), name
    assert any("8 to 8 ECGs each" in bias for bias in metadata.data_biases or [])
    assert any("verdict: passed" in line for line in metadata.personal_sensitive_information or [])


def test_queries_of_the_dataset_card_run(release: Path) -> None:
    card = (release / "README.md").read_text()
    queries = [
        part for block in re.findall(r"```sql\n(.*?)```", card, re.DOTALL) for part in block.split(";") if part.strip()
    ]
    connection = duckdb.connect()
    # The cohort shows no atrial fibrillation; what finds one finds others, too.
    here = [
        query.replace("cohorts/*", f"{release}/cohorts/*")
        .replace("AFIB", "STACH")
        .replace("atrial fibrillation", "sinus tachycardia")
        for query in queries
    ]
    counted, by_code, in_words, leads = (connection.execute(query).fetchall() for query in here)
    assert sorted(row[1] for row in counted) == [8, 8, 8]
    assert by_code == in_words == [(8,)]
    assert len(leads[0][1]) == SAMPLES
    assert abs(max(leads[0][1])) < 5  # millivolts


@pytest.mark.parametrize("simulated", [True, False])
def test_card_says_whether_the_source_was_simulated(store: Store, simulated: bool) -> None:
    card = (publish_tiny(store, TinyPipeline(store, simulated=simulated).commit()) / "README.md").read_text()
    assert ("SIMULATED SOURCE" in card) is simulated
    assert ("Recordings of tiny were read" in card) is not simulated


def test_card_names_the_conditions_furthest_from_real_ecgs(release: Path) -> None:
    card = (release / "README.md").read_text()
    block = card.index("| complete left bundle branch block | QRS duration above 119 ms | 0.31 |")
    assert block < card.index("| sinus tachycardia | heart rate above 100 bpm | 0.88 |")
    assert "P wave present" not in card  # too few real recordings to compare with


def test_cohort_with_a_foreign_column_is_refused(store: Store) -> None:
    inputs = TinyPipeline(store, extra_column="patient_key").commit()
    with pytest.raises(ReleaseError, match="patient_key do not belong"):
        publish_tiny(store, inputs)


def test_gate_passes_a_cohort_that_keeps_every_bound(store: Store, inputs: ReleaseInputs) -> None:
    require_releasable(store, inputs)


def test_gate_names_the_failed_check_its_value_and_its_setting(store: Store) -> None:
    inputs = TinyPipeline(store, membership_auc=0.71).commit()
    with pytest.raises(ReleaseError) as refused:
        require_releasable(store, inputs)
    message = str(refused.value)
    assert "membership inference, AUC by distance: 0.71 (95 % interval 0.67 to 0.75)" in message
    assert "against the bound 0.6 (privacy.max_membership_auc)" in message
    assert f"audit {inputs.audit.id}" in message
    assert "near copies" not in message


def test_gate_refuses_an_inconclusive_audit_with_that_word(store: Store) -> None:
    weak = "beat gate: share of ECGs within the radius (power 0.70 against own beats in another rhythm)"
    inputs = TinyPipeline(store, powerless=(weak,)).commit()
    with pytest.raises(ReleaseError) as refused:
        require_releasable(store, inputs)
    message = str(refused.value)
    assert "inconclusive" in message
    assert weak in message
    assert "\n" not in message


def test_gate_refuses_evidence_of_another_cohort(store: Store, inputs: ReleaseInputs) -> None:
    other = TinyPipeline(store, seed=2).commit()
    swapped = {
        "audit": ReleaseInputs(inputs.cohort, inputs.evaluation, other.audit, inputs.model),
        "evaluation": ReleaseInputs(inputs.cohort, other.evaluation, inputs.audit, inputs.model),
        "model": ReleaseInputs(inputs.cohort, inputs.evaluation, inputs.audit, other.model),
    }
    for kind, mixed in swapped.items():
        with pytest.raises(ReleaseError, match=f"{kind} .*(is not of cohort|that its lineage names)"):
            require_releasable(store, mixed)


def test_leak_check_finds_planted_secrets(store: Store, inputs: ReleaseInputs, release: Path) -> None:
    forbidden = forbidden_of(store, recordings_behind(store, inputs))
    assert find_leaks(release, forbidden) == []
    planted = {
        "a_patient.json": f'{{"patient": "p{digest("patient", 3)}"}}',
        "b_recording.md": f"drawn from recording_r{digest('recording', 5)}.",
        "c_quarantine.txt": "left out: 00017_lr",
        "d_store.txt": f"committed under {store.root}.",
        "e_source.html": '<p title="/data/clinic-7/ptbxl">source</p>',
        "f_home.txt": "saved as ~/recordings/1",
        "g_windows.txt": r"read from C:\Users\someone\ecg.csv",
    }
    for name, text in planted.items():
        (release / name).write_text(text)
    found = {leak.where for leak in find_leaks(release, forbidden)}
    assert found == set(planted)


def test_leak_check_finds_a_report_repeated_word_for_word(store: Store) -> None:
    inputs = TinyPipeline(store, cohort_text="Report 7 of the patient who came in with palpitations at night").commit()
    release = publish_tiny(store, inputs)
    leaks = find_leaks(release, forbidden_of(store, recordings_behind(store, inputs)))
    assert {leak.what for leak in leaks} == {"column 'text' repeats the report of a patient word for word"}


@pytest.mark.parametrize(
    "text", ["at 25 mm/s and 10 mm/mV", "https://doi.org/10.1038/s41597-020-0495-6", "I/II/III", "</td></tr>"]
)
def test_leak_check_lets_ordinary_text_pass(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    assert find_leaks(tmp_path) == []


def test_find_release_knows_only_its_own_name(store: Store, inputs: ReleaseInputs, release: Path) -> None:
    found = find_release(store, "tiny", "0123456789abcdef")
    assert found is not None
    assert found.uri == str(release)
    assert find_release(store, "other", "0123456789abcdef") is None


def test_a_report_that_only_lists_statements_may_be_repeated(store: Store, inputs: ReleaseInputs) -> None:
    recordings = recordings_behind(store, inputs)
    table = store.read(recordings, "recordings")
    listed = "Sinus rhythm, sinus tachycardia, complete left bundle branch block"
    texts = [listed, *table["text"].to_pylist()[1:]]
    with store.stage("recordings", "listed") as staging:
        staging.write_table(
            "recordings", 0, table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts))
        )
        facts = store.facts(recordings, RecordingsFacts)
        other = staging.commit(table.num_rows, store.manifest(recordings).lineage, facts)
    reports = forbidden_of(store, other).reports
    assert len(reports) == table.num_rows - 1
    assert listed.lower() not in reports
