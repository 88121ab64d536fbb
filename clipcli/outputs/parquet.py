"""Parquet; nulls where there is nothing. Needs pyarrow.

Parquet's text is UTF-8: a byte of a name that is not becomes the six characters `\\udcXX`.

A Parquet file cannot be read before its end is written. Rows are therefore written as a stream of Arrow, which can be
read up to wherever it was cut, and the stream becomes Parquet when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli.records import Row
from clipcli.scoring.schema import check_columns, columns, fields, row_of

if TYPE_CHECKING:
    import pyarrow as pa

_MAGIC = b"PAR1"
_GROUP_BYTES = 8 << 20
_ROWS_AT_ONCE = 1024


class ParquetWriter:
    """Writes the stream; columns have types: text, and float64 for scores."""

    def __init__(self, path: str, *, top_k: int) -> None:
        import pyarrow as pa

        self._top_k = top_k
        types = {name: pa.float64() if name.startswith("score") else pa.string() for name in columns(top_k)}
        self._schema = pa.schema(list(types.items()))
        self._batch = pa.record_batch
        self._file = open(path, "wb")  # noqa: SIM115
        self._stream = pa.ipc.new_stream(self._file, self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows and flush."""
        values = [[_utf8(value) for value in fields(row, top_k=self._top_k)] for row in rows]
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


def read_rows(path: str, *, top_k: int) -> Iterator[Row]:
    """The rows of a Parquet file, or of a stream up to the first batch that is not whole.

    Raises `BadFile` for other columns.
    """
    for batch in _batches(path):
        check_columns(batch.schema.names, path=path, top_k=top_k)
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield row_of(values, path=path)


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


def _batches(path: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open(path, "rb") as file:
        is_parquet = file.read(len(_MAGIC)) == _MAGIC
        file.seek(0)
        try:
            if is_parquet:
                yield from pq.ParquetFile(file).iter_batches(batch_size=_ROWS_AT_ONCE)
            else:
                yield from pa.ipc.open_stream(file)
        except pa.ArrowInvalid:
            return
        except OSError as e:
            # Arrow's own errors, as of a batch that was cut, have no number.
            if e.errno is not None:
                raise


def _utf8(value: str | float | None) -> str | float | None:
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
