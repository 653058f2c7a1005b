"""The catalog: one DuckDB file whose views show the committed datasets, and nothing else.

It is derived: `rebuild_catalog` writes a new file beside the old one and swaps it in, so a reader of the old one is
never locked out, and deleting it loses nothing. Views name the Parquet files by absolute path; after a warehouse was
moved, `query` (or `rebuild_catalog`) notices and writes it again. Only DuckDB's built-in extensions are used.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.catalog.catalog_rows import dataset_rows, input_rows, release_rows
from warehouse.catalog.catalog_schema import LATEST_VIEWS, with_dataset
from warehouse.catalog.data_dictionary import TableDescription, catalog_tables
from warehouse.errors import EinthovenError, WarehouseError
from warehouse.release.tombstone import WITHDRAWN
from warehouse.schema import TABLES
from warehouse.storage.manifest import Manifest
from warehouse.storage.reference import digest
from warehouse.storage.store import Store
from warehouse.storage.whole_files import writing

_FIXED_SIZE = re.compile(r"fixed_size_list<\w+: (int16|float)(?: not null)?>\[(\d+)\]")
_ELEMENT_TYPES = {"int16": "SMALLINT", "float": "FLOAT"}
_NO_DOWNLOADS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


class QueryError(EinthovenError):
    """A query that DuckDB, or the catalog's read-only rule, refuses."""


@dataclass(frozen=True)
class QueryResult:
    """The answer to a query."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]


def query(store: Store, sql: str) -> QueryResult:
    """Answer one SELECT (or FROM, DESCRIBE, SHOW, SUMMARIZE) from the catalog.

    Raises:
        QueryError: the SQL is wrong, or would write.
    """
    with _current(store) as connection:
        try:
            _require_reading(connection, sql)
            answer = connection.execute(sql)
            columns = answer.description or []
            return QueryResult([one[0] for one in columns], [str(one[1]) for one in columns], answer.fetchall())
        except duckdb.Error as error:
            raise QueryError(_first_paragraph(error)) from None


def _reading(catalog: Path) -> duckdb.DuckDBPyConnection:
    """Open a catalog read-only, as it is now.

    Within a process, DuckDB opens a file that is open already by handing out the old, perhaps replaced, file again;
    attaching it to a database in memory does not.
    """
    connection = duckdb.connect(config=_NO_DOWNLOADS)
    connection.execute(f"attach {_literal(str(catalog))} as catalog (read_only)")
    connection.execute("use catalog")
    return connection


def _require_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse everything but one reading statement; a read-only database alone still lets COPY write files."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"give one SQL statement; got {len(statements)}")
    refusal = (
        "einthoven sql only reads: SELECT, FROM, DESCRIBE, SHOW and SUMMARIZE; use DuckDB itself for anything else"
    )
    if statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError(refusal)
    # DuckDB counts a SELECT whose common table expression is a COPY or INSERT as SELECT, so the syntax tree decides.
    serialised = connection.execute("select json_serialize_sql(?)", [sql]).fetchone()
    tree = json.loads(serialised[0]) if serialised else {}
    if tree.get("error") or _writes(tree):
        raise QueryError(refusal)


def _writes(node: Any) -> bool:
    if isinstance(node, list):
        return any(_writes(one) for one in node)
    if isinstance(node, dict):
        return str(node.get("type", "")).endswith("_QUERY_NODE") or any(_writes(one) for one in node.values())
    return False


def _first_paragraph(error: duckdb.Error) -> str:
    """DuckDB's message on one line, without the excerpt of the query that follows it."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n|\nLINE ", str(error))]
    return paragraphs[0] if paragraphs[0] else type(error).__name__


def refresh_catalog(store: Store) -> None:
    """Rebuild the catalog if it is missing, was made elsewhere, or does not show what is committed now."""
    _current(store).close()


def _current(store: Store) -> duckdb.DuckDBPyConnection:
    """A connection to a catalog that shows what is committed now."""
    if store.catalog.exists():
        try:
            connection = _reading(store.catalog)
            if connection.execute("select state from internal.catalog_state").fetchall() == [(_state(store),)]:
                return connection
            connection.close()
        except duckdb.Error:
            # Damaged, or no catalog at all; what it showed is still in the files it was made from.
            pass
    rebuild_catalog(store)
    return _reading(store.catalog)


def rebuild_catalog(store: Store) -> None:
    """Write the catalog anew from what is committed, and swap it in.

    Raises:
        WarehouseError: it cannot be written.
    """
    # Under the lock, the last of several processes to swap is also the last to have looked at what is committed.
    with writing(store.root), store.lock("catalog"):
        for leftover in (store.root / "_staging").glob("catalog-*.duckdb*"):
            leftover.unlink(missing_ok=True)
        partial = store.root / "_staging" / f"catalog-{uuid.uuid4().hex[:8]}.duckdb"
        try:
            with duckdb.connect(str(partial), config=_NO_DOWNLOADS) as connection:
                connection.begin()
                _define(connection, store)
                connection.commit()
            partial.replace(store.catalog)
        except duckdb.Error as error:
            raise WarehouseError(f"cannot write {store.catalog}: {_first_paragraph(error)}") from None
        finally:
            partial.unlink(missing_ok=True)


def _define(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    # Taken first: what is committed from here on makes the catalog look stale, never fresh.
    state = _state(store)
    manifests = store.committed()
    connection.execute("create schema internal")
    _create_table(connection, "internal.catalog_state", pa.table({"state": [state]}))
    _create_table(connection, "datasets", dataset_rows(store, manifests))
    _create_table(connection, "inputs", input_rows(store, manifests))
    _create_table(connection, "releases", release_rows(store))
    for table in TABLES:
        holding = [manifest for manifest in manifests if table in manifest.tables]
        _create_view(connection, store, table, table, holding)
    for view, table in LATEST_VIEWS.items():
        holding = [manifest for manifest in manifests if table in manifest.tables]
        _create_view(connection, store, view, table, holding[-1:])
    for script in ("define_macros.sql", "define_claims.sql"):
        connection.execute((resources.files("warehouse.catalog") / "sql" / script).read_text("utf-8"))
    for about in catalog_tables():
        _comment(connection, about)


def _create_table(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("incoming", rows)
    connection.execute(f"create table {name} as select * from incoming")
    connection.unregister("incoming")


def _create_view(
    connection: duckdb.DuckDBPyConnection, store: Store, view: str, table: str, holding: list[Manifest]
) -> None:
    """A view over a table's Parquet files, datasets oldest first; an empty table if there are none."""
    if not holding:
        _create_table(connection, view, with_dataset(table).empty_table())
        return
    # Parquet forgets the length of a list: the manifest restores it, unless the datasets differ in it.
    lengths = [_fixed_sizes(manifest.tables[table]) for manifest in holding]
    fixed = {name: type_ for name, type_ in lengths[0].items() if all(one.get(name) == type_ for one in lengths)}
    replaced = ", ".join(f"{name}::{type_} as {name}" for name, type_ in fixed.items())
    parts = [
        f"select {_literal(manifest.id)} as dataset_id, *{f' replace ({replaced})' if replaced else ''} "
        f"from read_parquet([{', '.join(map(_literal, _parts(store, manifest, table)))}])"
        for manifest in holding
    ]
    connection.execute(f"create view {view} as {' union all by name '.join(parts)}")


def _parts(store: Store, manifest: Manifest, table: str) -> list[str]:
    folder = store.folder(manifest.kind, manifest.id)
    return [str(folder / file.path) for file in manifest.parts(table)]


def _fixed_sizes(columns: list[str]) -> dict[str, str]:
    """Column to DuckDB array type, for the fixed-size lists among a manifest's 'name: type' lines."""
    found = {}
    for line in columns:
        name, _, type_ = line.partition(": ")
        if match := _FIXED_SIZE.fullmatch(type_):
            found[name] = f"{_ELEMENT_TYPES[match.group(1)]}[{match.group(2)}]"
    return found


def _comment(connection: duckdb.DuckDBPyConnection, about: TableDescription) -> None:
    """Store descriptions and units in the catalog, where `duckdb_columns()` and database tools show them."""
    kinds = dict(connection.execute("select table_name, table_type from information_schema.tables").fetchall())
    kind = "table" if kinds[about.name] == "BASE TABLE" else "view"
    connection.execute(f"comment on {kind} {about.name} is {_literal(about.description)}")
    present = {one[0] for one in connection.execute(f"describe {about.name}").fetchall()}
    for field in about.columns:
        if field.name in present:
            unit = f" [{field.unit}]" if field.unit else ""
            connection.execute(f'comment on column {about.name}."{field.name}" is {_literal(field.description + unit)}')


def _state(store: Store) -> str:
    """A digest of where the warehouse is and what is committed in it."""
    committed = sorted(str(path) for path in store.root.glob("[!_]*/*/MANIFEST.json"))
    released = sorted((str(p), str(p.readlink()) if p.is_symlink() else "") for p in store.root.glob("releases/*/*"))
    withdrawn = sorted(str(path) for path in store.root.glob(f"releases/*/*/{WITHDRAWN}"))
    return digest(str(store.root), committed, released, withdrawn)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
