"""Parquet, a row group a batch; nulls where there is nothing. Needs pyarrow.

Parquet's text is UTF-8: a byte of a name that is not becomes the six characters `\\udcXX`.
"""

from __future__ import annotations

from collections.abc import Sequence

from clipcli.types import Row
from clipcli.writers.fields import columns, fields


class ParquetWriter:
    """Typed columns: text, and float64 for scores."""

    def __init__(self, path: str, *, top_k: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._top_k = top_k
        types = {name: pa.float64() if name.startswith("score") else pa.string() for name in columns(top_k)}
        self._schema = pa.schema(list(types.items()))
        self._batch = pa.record_batch
        self._file = pq.ParquetWriter(path, self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows as one row group."""
        values = [[_utf8(value) for value in fields(row, top_k=self._top_k)] for row in rows]
        self._file.write_batch(self._batch([list(column) for column in zip(*values, strict=True)], schema=self._schema))

    def close(self) -> None:
        """Write the footer and close the file."""
        self._file.close()


def _utf8(value: str | float | None) -> str | float | None:
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
