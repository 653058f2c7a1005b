"""The catalog: committed data and nothing else, always whole, read-only."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pytest

from models.leads import STANDARD_LEADS, to_twelve_leads
from tests.tiny_pipeline import TinyPipeline, publish_tiny
from tests.warehouse.small_tables import commit_cohort, commit_knowledge, commit_recordings, waveforms
from warehouse.catalog.catalog import QueryError, query, rebuild_catalog, refresh_catalog
from warehouse.catalog.catalog_schema import LATEST_VIEWS
from warehouse.catalog.worked_queries import queries_in
from warehouse.errors import WarehouseError
from warehouse.schema import TABLES
from warehouse.storage.store import Store

NO_EXTENSIONS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "warehouse"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A warehouse that nothing is committed to; only for tests that change nothing."""
    return Store(str(tmp_path_factory.mktemp("empty")))


def test_every_table_exists_before_anything_is_committed(empty: Store) -> None:
    for name in (*TABLES, *LATEST_VIEWS, "claims", "datasets", "inputs", "releases"):
        assert query(empty, f"select count(*) from {name}").rows == [(0,)], name
    for table, schema in TABLES.items():
        described = [row[0] for row in query(empty, f"describe {table}").rows]
        assert described == ["dataset_id", *schema().names]


def test_committed_rows_show_with_their_dataset_newest_last(store: Store) -> None:
    recordings = commit_recordings(store, "r1", rows=3)
    commit_cohort(store, "c1", recordings, rows=2)
    commit_cohort(store, "c2", recordings, rows=4)
    counted = query(store, "select dataset_id, count(*) from cohorts group by all order by dataset_id").rows
    assert counted == [("c1", 2), ("c2", 4)]
    assert [row[0] for row in query(store, "select dataset_id from cohorts").rows][-1] == "c2"
    assert query(store, "select distinct dataset_id from latest_cohorts").rows == [("c2",)]
    datasets = query(store, "select dataset_id, kind, rows, simulated from datasets order by created_at").rows
    assert datasets == [("r1", "recordings", 3, False), ("c1", "cohort", 2, False), ("c2", "cohort", 4, False)]
    assert query(store, "select input_id, input_kind from inputs where dataset_id = 'c1'").rows == [
        ("r1", "recordings")
    ]


def test_staged_rows_do_not_show(store: Store) -> None:
    commit_recordings(store, "r1", rows=3)
    with store.stage("recordings", "r2") as staging:
        staging.write_table("recordings", 0, store.read(commit_recordings(store, "r3", rows=1), "recordings"))
        assert query(store, "select count(*) from recordings").rows == [(4,)]


def test_descent_from_simulated_recordings_is_inherited(store: Store) -> None:
    recordings = commit_recordings(store, "r1", rows=1, simulated=True)
    commit_cohort(store, "c1", recordings, rows=1)
    assert query(store, "select distinct simulated from datasets").rows == [(True,)]


def test_leads_keep_their_length(store: Store) -> None:
    commit_recordings(store, "r1", rows=1, samples=1000)
    assert query(store, "select lead_ii, st_level_mv from recordings").types == ["SMALLINT[1000]", "FLOAT[12]"]
    commit_recordings(store, "r2", rows=1, samples=5000, rate_hz=500)
    assert query(store, "select len(lead_ii) from recordings order by 1").rows == [(1000,), (5000,)]
    assert query(store, "select lead_ii, st_level_mv from recordings").types == ["SMALLINT[]", "FLOAT[12]"]
    assert query(store, "select lead_ii from latest_recordings").types == ["SMALLINT[5000]"]


def test_macros_agree_with_the_lead_algebra(store: Store) -> None:
    commit_recordings(store, "r1", rows=2, samples=50)
    twelve = to_twelve_leads(waveforms(2, 50))
    answer = query(
        store,
        "select millivolts(lead_v3), millivolts(lead_iii(lead_i, lead_ii)), millivolts(lead_avr(lead_i, lead_ii)), "
        "millivolts(lead_avl(lead_i, lead_ii)), millivolts(lead_avf(lead_i, lead_ii)) from recordings",
    )
    for row, expected in zip(answer.rows, twelve, strict=True):
        for found, lead in zip(row, ("V3", "III", "aVR", "aVL", "aVF"), strict=True):
            np.testing.assert_allclose(found, expected[STANDARD_LEADS.index(lead)], atol=1.1e-3, err_msg=lead)


def test_an_ecg_is_found_by_any_of_its_statements(store: Store) -> None:
    """Of recordings and cohorts, by code and in words; no name is taken for a part of another."""
    commit_cohort(store, "c1", commit_recordings(store, "r1", rows=9), rows=5)
    for found, expected in (
        ("recordings where shows(statements, 'AFIB')", 6),
        ("cohorts where shows(statements, 'AFIB')", 2),
        ("cohorts where shows(condition, 'atrial fibrillation')", 2),
        ("cohorts where shows(condition, 'fibrillation')", 0),
        ("cohorts where shows(given_up, 'age')", 2),
    ):
        assert query(store, f"select count(*) from {found}").rows == [(expected,)]
    words = "'normal ECG; sinus rhythm'"
    assert query(store, f"select shows({words}, 'sinus rhythm'), shows({words}, 'rhythm')").rows == [(True, False)]


def test_lead_sums_beyond_sixteen_bits(empty: Store) -> None:
    extremes = "[(-32768)::SMALLINT], [32767::SMALLINT]"
    assert query(empty, f"select lead_iii({extremes}), lead_avl({extremes})").rows == [([65535.0], [-49151.5])]


def test_claims_are_one_per_row(store: Store) -> None:
    commit_knowledge(store, "k1", commit_recordings(store, "r1", rows=1))
    rows = query(store, "select statement, feature, comparison, value, verdict from claims order by feature").rows
    assert rows == [("AFIB", "p_present", "absent", None, "kept"), ("AFIB", "rr_irregularity", "above", 0.1, "refuted")]


def test_columns_carry_their_descriptions(store: Store) -> None:
    commit_recordings(store, "r1", rows=1)
    comments = dict(
        query(store, "select column_name, comment from duckdb_columns() where table_name = 'recordings'").rows
    )
    assert comments["qrs_ms"] == "QRS duration of the mean beat [ms]"
    assert all(comments.values())


def test_plain_duckdb_reads_it_without_loading_anything(store: Store) -> None:
    commit_knowledge(store, "k1", commit_recordings(store, "r1", rows=2))
    rebuild_catalog(store)
    with duckdb.connect(str(store.catalog), read_only=True, config=NO_EXTENSIONS) as plain:
        assert plain.sql("select count(*), max(len(lead_avf(lead_i, lead_ii))) from recordings").fetchall() == [
            (2, 100)
        ]
        assert plain.sql("select count(*) from claims").fetchall() == [(2,)]
    assert not list(store.root.glob("*.wal"))


READER = """
import sys, duckdb
for _ in range(60):
    with duckdb.connect(sys.argv[1], read_only=True) as catalog:
        rows = catalog.execute("select count(*) from recordings").fetchone()[0]
        assert rows in (2, 5), rows
        assert catalog.execute("select count(*) from datasets").fetchone()[0] in (1, 2)
print("read", rows)
"""


def test_readers_are_never_locked_out(store: Store) -> None:
    commit_recordings(store, "r1", rows=2)
    rebuild_catalog(store)
    reader = subprocess.Popen([sys.executable, "-c", READER, str(store.catalog)], stdout=subprocess.PIPE, text=True)
    commit_recordings(store, "r2", rows=3)
    while reader.poll() is None:
        rebuild_catalog(store)
    output, _ = reader.communicate()
    assert (reader.returncode, output.strip()) == (0, "read 5")
    assert not list((store.root / "_staging").glob("*.duckdb*"))


def test_a_connection_that_stays_open_neither_blocks_nor_ages_the_next_answer(store: Store) -> None:
    commit_recordings(store, "r1", rows=2)
    rebuild_catalog(store)
    with duckdb.connect(str(store.catalog), read_only=True) as old:
        commit_recordings(store, "r2", rows=3)
        rebuild_catalog(store)
        assert old.sql("select count(*) from recordings").fetchall() == [(2,)]
        assert query(store, "select count(*) from recordings").rows == [(5,)]


def test_rebuilding_at_the_same_time_ends_with_everything(store: Store) -> None:
    def commit(number: int) -> None:
        commit_recordings(store, f"r{number}", rows=1)
        rebuild_catalog(store)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(commit, range(6)))
    with duckdb.connect(str(store.catalog), read_only=True) as plain:
        assert plain.sql("select count(*) from recordings").fetchall() == [(6,)]


def test_a_catalog_left_behind_is_refreshed(store: Store) -> None:
    rebuild_catalog(store)
    before = store.catalog.stat().st_ino
    refresh_catalog(store)
    assert store.catalog.stat().st_ino == before
    commit_recordings(store, "r1", rows=2)
    assert query(store, "select count(*) from recordings").rows == [(2,)]


def test_a_moved_warehouse_is_mended(store: Store, tmp_path: Path) -> None:
    commit_recordings(store, "r1", rows=2)
    rebuild_catalog(store)
    shutil.move(store.root, tmp_path / "moved")
    assert query(Store(str(tmp_path / "moved")), "select count(*) from recordings").rows == [(2,)]


def test_a_damaged_catalog_is_replaced(store: Store) -> None:
    store.catalog.write_bytes(b"not a database")
    commit_recordings(store, "r1", rows=2)
    assert query(store, "select count(*) from recordings").rows == [(2,)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", 'syntax error at or near "selec"'),
        ("select * from recording", 'recording does not exist! Did you mean "recordings"'),
        ("select nothing from recordings", "nothing"),
        ("", "give one SQL statement; got 0"),
        ("select 1; select 2", "give one SQL statement; got 2"),
    ],
)
def test_wrong_sql_is_one_line(empty: Store, sql: str, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        query(empty, sql)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "create table t as select 1",
        "insert into datasets select * from datasets",
        "drop table datasets",
        "copy (select 1) to 'FILE'",
        "with x as (copy (select 1) to 'FILE') select 1",
        "select * from (with x as (copy (select 1) to 'FILE') select * from x)",
        "explain analyze copy (select 1) to 'FILE'",
        "export database 'FILE'",
        "attach 'FILE' as other",
        "install httpfs",
        "set threads = 1",
    ],
)
def test_nothing_is_written(empty: Store, tmp_path: Path, sql: str) -> None:
    with pytest.raises(QueryError, match="only reads"):
        query(empty, sql.replace("FILE", str(tmp_path / "written")))
    assert not (tmp_path / "written").exists()


def test_an_unwritable_warehouse_is_one_line(store: Store, tmp_path: Path) -> None:
    shutil.rmtree(store.root / "_staging")
    (store.root / "_staging").write_text("in the way")
    with pytest.raises(WarehouseError, match="cannot write"):
        rebuild_catalog(store)


def test_releases_and_their_lineage_show(store: Store) -> None:
    inputs = TinyPipeline(store).commit()
    publish_tiny(store, inputs)
    rows = query(store, "select name, version, current, rows, privacy_passed, cohort_id from releases").rows
    assert rows == [("tiny", "v1", True, inputs.cohort.rows, True, inputs.cohort.id)]
    lineage = dict(queries_in())["Lineage of a release"]
    kinds = {row[3] for row in query(store, lineage).rows}
    assert kinds == {"release", "cohort", "evaluation", "audit", "model", "knowledge", "recordings", "source"}
    publish_tiny(store, TinyPipeline(store, seed=2).commit(), identifier="f" * 16)
    assert query(store, "select version, current from releases order by all").rows == [("v1", False), ("v2", True)]


def test_a_damaged_release_does_not_stop_the_catalog(store: Store) -> None:
    folder = store.root / "releases" / "tiny"
    (folder / "v1").mkdir(parents=True)
    (folder / "v1" / "MANIFEST.json").write_text("{}")
    (folder / "current").symlink_to("v1")
    assert query(store, "select * from releases").rows == []
