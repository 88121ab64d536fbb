"""Writes and reads Parquet. Missing values are nulls. Needs pyarrow.

Text in Parquet is UTF-8: a byte of a name that is not UTF-8 becomes the six characters `\\udcXX`.

A Parquet file cannot be read until its footer is written. So rows are written as an Arrow stream, which can be read
even if it was cut off, and the complete stream is converted to Parquet at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipcli.errors import one_line
from clipcli.files.names import original, plain
from clipcli.records import Row
from clipcli.scoring.schema import Schema, no_row

if TYPE_CHECKING:
    import pyarrow as pa

# The first bytes of a Parquet file and of an Arrow stream.
MAGIC, STREAM = b"PAR1", b"\xff\xff\xff\xff"
_GROUP_BYTES = 8 << 20
_ROWS_AT_ONCE = 1024


class ParquetWriter:
    """Writes an Arrow stream with columns of text, of float64 for scores, and of lists of both."""

    def __init__(self, path: str, *, schema: Schema) -> None:
        import pyarrow as pa

        self._fields = schema.fields
        types: dict[Any, pa.DataType] = {str: pa.string(), float: pa.float64()}
        types |= {list[str]: pa.list_(types[str]), list[float]: pa.list_(types[float])}
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
    """Convert a complete Arrow stream to Parquet, one row group of about 8 MiB in memory at a time."""
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
    """Read a Parquet file or the Arrow stream of one, as described in `ReadRows`."""
    found = _schema_and_batches(path, cut=cut)
    first = next(found, None)
    if first is None:
        return None
    schema = Schema.of(list(map(original, first.names)), path=path)
    return schema, _rows(found, schema, path=path)


def _rows(batches: Iterable[pa.RecordBatch], schema: Schema, *, path: str) -> Iterator[Row]:
    each = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in batches)
    for number, values in enumerate(chain.from_iterable(each), 1):
        yield schema.row(list(map(_as_it_was, values)), path=f"{path} row {number}")


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
    """Arrow's schema of the file and then its record batches; nothing if the schema is incomplete and `cut` is true."""
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
            # Errors of Arrow itself, as for a batch that was cut off, have no errno.
            if isinstance(e, OSError) and e.errno is not None:
                raise
            if not cut:
                raise no_row(path, one_line(e)) from None


def _utf8(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_utf8, value))
    return plain(value) if isinstance(value, str) else value


def _as_it_was(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_as_it_was, value))
    return original(value) if isinstance(value, str) else value
