"""Which recordings may be read for what: nothing that fits or chooses sees the test split."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.ablation_arms import ARMS, Profile
from tasks.ecg_sets import ReportSplitError, read_recordings, read_reported
from tests.tasks.clinic import put_recordings, recordings_table
from warehouse.storage.store import Store

ROOT = Path(__file__).parents[2]
REPORTS = {
    "benchmarks/augmentation/inputs.py",
    "benchmarks/privacy.py",
    "tasks/ecg_sets.py",
    "tasks/evaluation/comparison.py",
    "tasks/evaluation/networks/classifier.py",
    "tasks/privacy/model_audit.py",
    "tasks/privacy/task.py",
}
"""Files that may read the test split: those of the evaluation, by its setting, of the audit and its benchmark, and of
the augmentation benchmark, whose chooser is given the validation split alone (its tests hold that)."""
SPLIT_NAMES = {
    "benchmarks/augmentation/checks.py",
    "benchmarks/augmentation/experiment.py",
    "benchmarks/augmentation/inputs.py",
    "benchmarks/augmentation/own_generator.py",
    "benchmarks/augmentation/pages.py",
    "benchmarks/knowledge.py",
    "benchmarks/privacy.py",
    "tasks/ingestion/task.py",
    "tasks/privacy/model_audit.py",
    "tasks/privacy/task.py",
    "tasks/settings/evaluation.py",
}
"""Files that may write the split's name: the setting, ingestion, the audit, whose non-members are held out, and the
benchmark that reports whether claims chosen on training recordings hold."""


def test_what_fits_or_chooses_cannot_read_the_test_split(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    recordings = put_recordings(store, recordings_table(40))
    assert [len(read_recordings(store, recordings, split)) for split in ("train", "validation")] == [32, 4]
    assert len(read_reported(store, recordings, "test")) == 4
    with pytest.raises(ReportSplitError, match="the test split is for reports"):
        read_recordings(store, recordings, "test")  # type: ignore[arg-type]


def test_only_evaluation_and_audit_can_name_or_read_it() -> None:
    for path in sorted(
        one for layer in ("benchmarks", "flows", "tasks", "models") for one in (ROOT / layer).rglob("*.py")
    ):
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value == "test":
                assert name in SPLIT_NAMES, f"{name}:{node.lineno} names the test split"
            called = getattr(node, "id", getattr(node, "attr", None))
            if isinstance(node, (ast.Name, ast.Attribute)) and called == "read_reported":
                assert name in REPORTS, f"{name}:{node.lineno} reads recordings that are kept for reports"


def test_arms_of_the_ablation_are_compared_on_validation() -> None:
    for arm in ARMS.values():
        assert Profile("ptbxl-mini").settings(arm).evaluation.split == "validation"
