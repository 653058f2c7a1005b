"""How tables are encoded at rest: plain Parquet that every reader understands, small where it counts, the waveforms."""

from __future__ import annotations

import io
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS: Final = 256
"""Rows of a row group, the unit that a query reads or skips."""
FAST_LEVEL: Final = 11
"""Compression of what is written once and read here: the lowest at which recordings at 100 Hz take less than 0.40 of
their files' bytes. Lower ones do not find what repeats in the samples' high bytes."""
SMALL_LEVEL: Final = 15
"""Compression of what is copied to many: a little smaller, three times as long to write."""


def encode_parquet(table: pa.Table, file: IO[bytes], level: int) -> None:
    """Write a table as Parquet.

    Neighbouring samples of a waveform share their high bytes. Split into a stream of first bytes, one of second bytes
    and so on (BYTE_STREAM_SPLIT, which is lossless), they take four fifths of the space. Dictionaries serve the other
    columns.

    Args:
        level: of zstd's compression; every level is read equally fast.
    """
    paths = _leaf_paths(table.schema)
    waveforms = {f"{field.name}.list.element" for field in table.schema if _holds_samples(field.type)}
    pq.write_table(
        table,
        file,
        compression="zstd",
        compression_level=level,
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=[path for path in paths if path not in waveforms],
        column_encoding=dict.fromkeys(waveforms, "BYTE_STREAM_SPLIT"),
    )


def _holds_samples(type_: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(type_) and type_.value_type == pa.int16())


def _leaf_paths(schema: pa.Schema) -> list[str]:
    """The names that Parquet gives the columns of a schema."""
    buffer = io.BytesIO()
    pq.write_table(schema.empty_table(), buffer)
    parquet = pq.ParquetFile(buffer).schema
    return [parquet.column(index).path for index in range(len(parquet))]
