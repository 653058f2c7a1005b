"""What training reads: usable recordings and simulator classes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.training.data.recordings import TrainingError, usable_rows
from tasks.training.data.simulator_classes import wave_classes
from tasks.training.model_folder import CONFIG_FILE, FORMAT_VERSION, ModelFolderError, load_config
from tests.tasks.small_training import recordings_table


def test_recordings_without_signal_are_left_out_and_counted() -> None:
    table = recordings_table(10).append_column("row", pa.array(range(10)))
    rows, excluded = usable_rows(table)
    assert 0 not in rows["train"]
    assert 1 in rows["train"]
    assert excluded == {"flat_lead": 1}
    flat = table.set_column(
        table.schema.get_field_index("quality_flags"), "quality_flags", pa.array([["flat_lead_i"]] * 10)
    )
    with pytest.raises(TrainingError, match="no usable train recordings"):
        usable_rows(flat)


def test_rare_statements_fall_back_to_superclass_then_to_all() -> None:
    statements = ["NORM"] * 25 + ["IMI"] * 12 + ["AMI"] * 12 + ["PACE"] * 3
    superclasses = [["NORM"]] * 25 + [["MI"]] * 24 + [[]] * 3
    facts = {code: {"description": code, "superclass": "", "kind": "diagnostic"} for code in set(statements)}
    table = pa.table(
        {
            "split": ["train"] * 52,
            "statements": [[{"code": code, "likelihood": 100.0}] for code in statements],
            "superclasses": pa.array(superclasses, pa.list_(pa.string())),
        }
    )
    names, index = wave_classes(table, facts, min_recordings=20)
    assert names == ["all", "MI", "NORM"]
    assert [names[i] for i in index] == ["NORM"] * 25 + ["MI"] * 24 + ["all"] * 3


def test_a_model_of_other_conditions_is_refused_by_its_format(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"format_version": 8, "statements": {}}))
    with pytest.raises(ModelFolderError, match=f"has format 8, this code reads {FORMAT_VERSION}; train again"):
        load_config(tmp_path)
    (tmp_path / CONFIG_FILE).write_text("{}")
    with pytest.raises(ModelFolderError, match="damaged or from another version"):
        load_config(tmp_path)
