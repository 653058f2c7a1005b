"""No result changes under the code version of an older one, and the digests that guard it see what they should."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

import tasks
from tasks.privacy.task import STAGE as AUDIT
from tasks.settings import PrivacySettings
from tasks.stage import Stage
from tests import output_digests
from tests.fingerprints import Tolerances, condensed, differences, fingerprint
from tests.output_digests import Digests, Finding, entry_of, judge, load, main
from tests.stage_outputs import OUTPUTS, Output, StageOutputs
from warehouse.storage.whole_files import write_parquet

WORDS = "Made on 2026-03-01 by numpy 2.1.3. Of 4 ECGs, 25.0 % are noisy."
STRICT: Tolerances = (("", 3e-4),)


@pytest.fixture(scope="module")
def digests(stage_outputs: StageOutputs, ray_cluster: None) -> Digests:
    return Digests(stage_outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_changes_only_with_its_code_version(name: str, digests: Digests) -> None:
    verdict = digests.verdict(name, load())
    assert verdict.finding is Finding.SAME, verdict.advice


def test_every_stage_has_a_digest() -> None:
    modules = [importlib.import_module(one.name) for one in pkgutil.walk_packages(tasks.__path__, "tasks.")]
    stages = {value.name for module in modules for value in vars(module).values() if isinstance(value, Stage)}
    assert stages == set(OUTPUTS), "tests/stage_outputs.py runs every stage small, and only these"
    assert stages == set(load()), "run `make digests`"


def content() -> dict[str, Any]:
    """What a stage may leave behind, in all forms that stages use."""
    random = np.random.default_rng(3)
    return {
        "id": [f"{number:020x}" for number in (7, 7, 9, 11)],
        "text": ["normal ECG", "atrial fibrillation", "QRS duration above 120 ms", ""],
        "rate": np.array([61.2, np.nan, 88.0, 70.1]),
        "lead": random.normal(0, 200, (4, 500)).round(),
        "weight": random.normal(0, 0.1, (8, 16)).astype(np.float32),
        "buffers": {},
        "config": {"steps": 4, "scale": [0.25, 0.5], "created_at": "2026-03-01", "seconds": 4.2},
        "words": WORDS,
    }


def written(folder: Path, content: dict[str, Any]) -> Path:
    columns = {
        "recording_id": content["id"],
        "text": content["text"],
        "heart_rate_bpm": pa.array(content["rate"], from_pandas=True),
        "lead_i": pa.FixedSizeListArray.from_arrays(pa.array(content["lead"].astype(np.int16).reshape(-1)), 500),
    }
    write_parquet(pa.table(columns), folder / "recordings" / "part-00000.parquet")
    save_file({"head.weight": content["weight"], **content["buffers"]}, folder / "network.safetensors")
    (folder / "config.json").write_text(json.dumps(content["config"]))
    (folder / "README.md").write_text(content["words"])
    return folder


def rounded(values: np.ndarray, by: float) -> np.ndarray:
    return values + np.random.default_rng(9).normal(0, by, values.shape).astype(values.dtype)


def flipped(values: np.ndarray) -> np.ndarray:
    """One sample in a thousand goes to the next microvolt."""
    values = values.copy()
    values[1, 3] += 1
    values[2, 400] -= 1
    return values


NO_CHANGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another pseudonym key": lambda _: {"id": [f"{number:020x}" for number in (70, 70, 20, 30)]},
    "another day, other versions": lambda _: {
        "words": "Made on 2027-04-02 by numpy 2.2.0. Of 4 ECGs, 25.0 % are noisy."
    },
    "how long it took": lambda old: {"config": {**old["config"], "seconds": 99.0, "created_at": "2027-01-01"}},
    "rounding of weights": lambda old: {"weight": rounded(old["weight"], 1e-6)},
    "rounding of samples": lambda old: {"lead": flipped(old["lead"])},
}
CHANGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "recordings of one patient are told apart": lambda _: {"id": [f"{number:020x}" for number in (7, 8, 9, 11)]},
    "one word": lambda old: {"text": ["normal ecg", *old["text"][1:]]},
    "a number in a text": lambda _: {"words": WORDS.replace("25.0", "50.0")},
    "a measurement is missing": lambda _: {"rate": np.array([61.2, np.nan, np.nan, 70.1])},
    "two rows changed places": lambda _: {"rate": np.array([61.2, np.nan, 70.1, 88.0])},
    "a lead a tenth louder": lambda old: {"lead": old["lead"] * 1.1},
    "a lead one sample later": lambda old: {"lead": np.roll(old["lead"], 1, axis=1)},
    "one recording upside down": lambda old: {"lead": old["lead"] * np.array([[1], [1], [-1], [1]])},
    "an offset of 2 µV": lambda old: {"lead": old["lead"] + 2},
    "weights of another seed": lambda old: {"weight": old["weight"][::-1].copy()},
    "weights of another shape": lambda old: {"weight": old["weight"].reshape(4, 32)},
    "a fitted buffer more": lambda _: {"buffers": {"spectrum.steadiness": np.ones(3, np.float32)}},
    "a counter": lambda _: {"buffers": {"spectrum.steps": np.array([5])}},
    "a setting in the configuration": lambda old: {"config": {**old["config"], "steps": 5}},
    "a scale in the configuration": lambda old: {"config": {**old["config"], "scale": [0.25, 0.51]}},
}


@pytest.mark.parametrize("change", [*NO_CHANGE, *CHANGE])
def test_a_fingerprint_sees_changes_and_not_rounding(change: str, tmp_path: Path) -> None:
    changed = {**content(), **{**NO_CHANGE, **CHANGE}[change](content())}
    before, after = (
        fingerprint(written(tmp_path / "before", content())),
        fingerprint(written(tmp_path / "after", changed)),
    )
    found = list(differences(json.loads(json.dumps(before)), after, STRICT))
    assert bool(found) == (change in CHANGE), found
    assert bool(list(differences(condensed(before), condensed(after), STRICT))) == (change in CHANGE)


def test_the_size_of_ill_conditioned_numbers_is_seen(tmp_path: Path) -> None:
    values = content()
    turned, larger = (
        {**values, "weight": weight} for weight in (values["weight"][::-1].copy(), 1.3 * values["weight"])
    )
    loose: Tolerances = (("head", None), *STRICT)
    before, *after = (fingerprint(written(tmp_path / f"{n}", one)) for n, one in enumerate((values, turned, larger)))
    assert [len(list(differences(before, one, loose))) for one in after] == [0, 1]


def output(folder: Path, code_version: int = 2, settings: PrivacySettings | None = None) -> Output:
    stage = replace(AUDIT, code_version=code_version)
    return Output(stage, folder, (settings or PrivacySettings(),), STRICT, {"cohort": folder.parent / "input"})


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Outputs that differ, of the same input."""
    written(tmp_path / "input", content())
    louder = {**content(), "lead": 2 * content()["lead"]}
    return written(tmp_path / "as stored", content()), written(tmp_path / "changed", louder)


def verdict_of(now: Output, stored: Output, changed_before: list[str] | None = None) -> tuple[Finding, str]:
    found = judge(now, entry_of(stored), entry_of(now), changed_before or [])
    return found.finding, found.advice


def test_a_changed_output_asks_for_another_code_version(folders: tuple[Path, Path]) -> None:
    same, changed = folders
    assert verdict_of(output(same), output(same)) == (Finding.SAME, "")
    finding, advice = verdict_of(output(changed), output(same))
    assert finding is Finding.CHANGED
    assert "raise the code version of audit cohort (tasks/privacy/task.py) and run `make digests`" in advice
    assert "recordings/lead_i is off by" in advice


def test_a_raised_code_version_is_to_be_stored_whether_anything_changed_or_not(folders: tuple[Path, Path]) -> None:
    same, changed = folders
    finding, advice = verdict_of(output(changed, 3), output(same))
    assert finding is Finding.RAISED
    assert "was raised from 2 to 3 and its output changed (recordings/lead_i" in advice
    finding, advice = verdict_of(output(same, 3), output(same))
    assert finding is Finding.RAISED
    assert "its output did not change, which is fine; run `make digests`" in advice


def test_a_code_version_never_goes_back(folders: tuple[Path, Path]) -> None:
    finding, advice = verdict_of(output(folders[1], 1), output(folders[0]))
    assert finding is Finding.LOWERED and "make it 3" in advice


def test_other_settings_and_inputs_give_other_ids_and_need_no_other_code_version(folders: tuple[Path, Path]) -> None:
    same, changed = folders
    finding, advice = verdict_of(output(changed, settings=PrivacySettings(seed=2)), output(same))
    assert finding is Finding.GIVEN_OTHERWISE and "(settings has other content)" in advice
    assert verdict_of(output(changed), output(same), ["generate cohort"])[0] is Finding.GIVEN_OTHERWISE
    stored = entry_of(output(same))
    written(same.parent / "input", {**content(), "text": ["other"] * 4})
    assert judge(output(changed), stored, entry_of(output(changed)), []).finding is Finding.GIVEN_OTHERWISE


def test_the_command_stores_but_does_not_hide_a_forgotten_code_version(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    same, changed = folders
    monkeypatch.setattr(output_digests, "STORED", same.parent / "digests.json")

    def command(now: Output, *words: str) -> int:
        monkeypatch.setattr(output_digests, "OUTPUTS", {AUDIT.name: lambda _: now})
        return main(list(words))

    assert command(output(same)) == 1 and "no stored digest" in capsys.readouterr().out
    assert command(output(same), "--store") == 0
    assert command(output(same)) == 0
    before = load()
    assert command(output(changed), "--store") == 1
    assert "raise the code version of audit cohort" in capsys.readouterr().out
    assert load() == before
    assert command(output(changed, 3), "--store") == 0
    assert load()[AUDIT.name]["code_version"] == 3
    assert command(output(same, 3), "--store", "--accept", AUDIT.name) == 0
    assert load()[AUDIT.name]["made"] == before[AUDIT.name]["made"]
