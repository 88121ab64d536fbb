"""Several labels in one cell of a table, split by `;`: a label that holds a `;` or a quote is quoted in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

# Between the labels of a cell.
SEPARATOR = ";"
# csv quotes fields that hold a character of its line end: \r\n makes it quote both.
_END = "\r\n"


def join_labels(values: Sequence[str | float]) -> str:
    """Labels, or their scores, as one cell."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=SEPARATOR, lineterminator=_END).writerow(values)
    return stream.getvalue().removesuffix(_END)


def split_labels(text: str) -> list[str]:
    """The labels of a cell that `join_labels` gave. Raises `ValueError` for a quote that is not closed."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=SEPARATOR, strict=True))
    except csv.Error as e:
        raise ValueError(str(e)) from None
    return [label for row in rows for label in row]
