"""Parquet; nulls where there is nothing. Needs pyarrow.

Parquet's text is UTF-8: a byte of a name that is not becomes the six characters `\\udcXX`.

A Parquet file cannot be read before its end is written. Rows are therefore written as a stream of Arrow, which can be
read up to wherever it was cut, and the stream becomes Parquet when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipcli.records import Row
from clipcli.scoring.schema import Schema, Value, no_row

if TYPE_CHECKING:
    import pyarrow as pa

# What a file begins with: Parquet, and a stream of Arrow.
MAGIC, STREAM = b"PAR1", b"\xff\xff\xff\xff"
_GROUP_BYTES = 8 << 20
_ROWS_AT_ONCE = 1024


class ParquetWriter:
    """Writes the stream; columns have types: text, and float64 for scores."""

    def __init__(self, path: str, *, schema: Schema) -> None:
        import pyarrow as pa

        self._fields = schema.fields
        types = {str: pa.string(), float: pa.float64()}
        named = zip(map(_utf8, schema.columns), schema.types, strict=True)
        self._schema = pa.schema([(name, types[kind]) for name, kind in named])
        self._batch = pa.record_batch
        self._file = open(path, "wb")  # noqa: SIM115
        self._stream = pa.ipc.new_stream(self._file, self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows and flush."""
        values = [[_utf8(value) for value in self._fields(row)] for row in rows]
        batch = self._batch([list(column) for column in zip(*values, strict=True)], schema=self._schema)
        self._stream.write_batch(batch)
        self._file.flush()

    def close(self) -> None:
        """End the stream and close the file."""
        with self._file:
            self._stream.close()


def to_parquet(stream: Path, target: Path) -> None:
    """Write a whole stream as Parquet, in little memory whatever its length: a row group is 8 MiB uncompressed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with (
        open(stream, "rb") as source,
        pa.ipc.open_stream(source) as batches,
        open(target, "wb") as sink,
        pq.ParquetWriter(sink, batches.schema) as file,
    ):
        for group in _groups(batches):
            file.write_table(pa.Table.from_batches(group).combine_chunks())


def read_rows(path: str, *, cut: bool) -> tuple[Schema, Iterator[Row]] | None:
    """The rows of a Parquet file, or of a stream that is to become one, as `ReadRows` says."""
    found = _schema_and_batches(path, cut=cut)
    first = next(found, None)
    if first is None:
        return None
    schema = Schema.of(first.names, path=path)
    return schema, _rows(found, schema, path=path)


def _rows(batches: Iterable[pa.RecordBatch], schema: Schema, *, path: str) -> Iterator[Row]:
    for batch in batches:
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield schema.row(values, path=path)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        group.append(batch)
        size += batch.nbytes
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _schema_and_batches(path: str, *, cut: bool) -> Iterator[Any]:
    """Arrow's schema of the file, and then its record batches; nothing where not even the schema is whole in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open(path, "rb") as file:
        is_parquet = file.read(len(MAGIC)) == MAGIC
        file.seek(0)
        try:
            table = pq.ParquetFile(file) if is_parquet else pa.ipc.open_stream(file)
            yield table.schema_arrow if is_parquet else table.schema
            yield from table.iter_batches(batch_size=_ROWS_AT_ONCE) if is_parquet else table
        except (pa.ArrowInvalid, OSError) as e:
            # Arrow's own errors, as of a batch that was cut, have no number.
            if isinstance(e, OSError) and e.errno is not None:
                raise
            if not cut:
                raise no_row(path) from None


def _utf8(value: Value) -> Value:
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
