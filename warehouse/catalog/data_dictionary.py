"""The data dictionary: every table and column with type, unit and meaning, written from the schemas.

python -m warehouse.catalog.data_dictionary            write docs/data-dictionary.md
python -m warehouse.catalog.data_dictionary --print    print it
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from models.ecg.quality_vocabulary import LEAD_FLAGS, RECORDING_FLAGS
from warehouse.catalog.catalog_schema import LATEST_VIEWS, claims, datasets, inputs, releases, with_dataset
from warehouse.schema import TABLES
from warehouse.sources.record import REASONS

PATH = Path(__file__).resolve().parents[2] / "docs" / "data-dictionary.md"

MACROS = {
    "millivolts(lead)": "Samples of a lead in mV",
    "lead_iii(lead_i, lead_ii)": "Lead III = II − I, in the unit of the input",
    "lead_avr(lead_i, lead_ii)": "Lead aVR = −(I + II)/2",
    "lead_avl(lead_i, lead_ii)": "Lead aVL = I − II/2",
    "lead_avf(lead_i, lead_ii)": "Lead aVF = II − I/2",
}
"""Macros of the catalog, defined in `warehouse/sql/define_macros.sql`."""


@dataclass(frozen=True)
class ColumnDescription:
    """A column, as a person needs to know it."""

    name: str
    type: str
    unit: str
    description: str


@dataclass(frozen=True)
class TableDescription:
    """A table or view of the catalog."""

    name: str
    description: str
    columns: list[ColumnDescription]


def catalog_tables() -> list[TableDescription]:
    """All tables and views of the catalog, in the order of the dictionary."""
    with duckdb.connect() as connection:
        described = [_describe(connection, name, TABLES[name], with_dataset(name)) for name in TABLES]
        described += [
            _describe(connection, make.__name__, make, make()) for make in (claims, datasets, inputs, releases)
        ]
    for view, table in LATEST_VIEWS.items():
        columns = next(one.columns for one in described if one.name == table)
        described.append(TableDescription(view, f"The newest dataset of {table}", columns))
    return described


def _describe(
    connection: duckdb.DuckDBPyConnection, name: str, make: Callable[..., pa.Schema], schema: pa.Schema
) -> TableDescription:
    """A table from its schema; what one row is comes from the docstring of the function that makes the schema."""
    connection.register("empty", schema.empty_table())
    types = {row[0]: row[1] for row in connection.execute("describe empty").fetchall()}
    columns = []
    for field in schema:
        about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        columns.append(ColumnDescription(field.name, types[field.name], about.get("unit", ""), about["description"]))
    return TableDescription(name, (make.__doc__ or "").splitlines()[0].strip().rstrip("."), columns)


def render() -> str:
    """The data dictionary as Markdown."""
    lines = [
        "# Data dictionary",
        "",
        "Written by `python -m warehouse.catalog.data_dictionary` from the schemas in `warehouse/schema.py` and",
        "`warehouse/catalog/catalog_schema.py`; a test compares them. The catalog carries the same texts as comments:",
        "`select table_name, column_name, comment from duckdb_columns()`.",
        "",
        "Every table is a view over committed Parquet files (zstd), but for `datasets`, `inputs` and `releases`, which",
        "the catalog itself holds. `dataset_id` exists in the catalog only, not in the files. Types are DuckDB's; the",
        "unit of a list is that of its elements. Lead columns are shown for 1000 samples: their length is the",
        "recording's, and where datasets of different lengths are committed they appear as lists, except in the",
        "`latest_` views.",
        "",
    ]
    described = catalog_tables()
    for table in described:
        if table.name in LATEST_VIEWS:
            continue
        lines += [f"## {table.name}", "", f"One row: {table.description[0].lower()}{table.description[1:]}.", ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{one.name}` | {_cell(one.type)} | {one.unit} | {_cell(one.description)} |" for one in table.columns
        ]
        lines += [""]
    lines += ["## Views of the newest dataset", "", "| view | table |", "|---|---|"]
    lines += [f"| `{view}` | `{table}` |" for view, table in LATEST_VIEWS.items()]
    lines += ["", "## Macros", "", "| macro | result |", "|---|---|"]
    lines += [f"| `{macro}` | {meaning} |" for macro, meaning in MACROS.items()]
    lines += ["", "## Reasons of quarantine", "", "| reason | meaning |", "|---|---|"]
    lines += [f"| `{reason}` | {meaning} |" for reason, meaning in REASONS.items()]
    lines += [
        "",
        "## Quality flags",
        "",
        "Of a lead, with its name as suffix, as in `flat_lead_v2`, or of a recording.",
        "",
    ]
    lines += ["| flag | of | meaning |", "|---|---|---|"]
    lines += [f"| `{flag}` | lead | {meaning} |" for flag, meaning in LEAD_FLAGS.items()]
    lines += [f"| `{flag}` | recording | {meaning} |" for flag, meaning in RECORDING_FLAGS.items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write or print the dictionary."""
    parser = argparse.ArgumentParser(
        prog="python -m warehouse.catalog.data_dictionary", description="Write docs/data-dictionary.md."
    )
    parser.add_argument("--print", action="store_true", help="print it instead")
    if parser.parse_args().print:
        print(render(), end="")
        return
    PATH.write_text(render(), encoding="utf-8")
    print(f"wrote {PATH}")


if __name__ == "__main__":
    main()
