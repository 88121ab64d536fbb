"""Scores become rows: the best labels of each image, or why there are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from clipcli.records import Row, Scores, Skipped
from clipcli.scoring.schema import columns, fields
from clipcli.scoring.score import best

if TYPE_CHECKING:
    import pandas as pd


def to_rows(scores: Scores, labels: Sequence[str], *, top_k: int) -> Iterator[Row]:
    """One row for each entry, in order, with its `top_k` labels and scores."""
    indices = best(scores.values, top_k)
    images = iter(zip(indices, scores.values, strict=True))
    for entry in scores.entries:
        if isinstance(entry, Skipped):
            yield Row(path=entry.item.id, labels=(), scores=(), error=entry.reason)
            continue
        chosen, values = next(images)
        yield Row(
            path=entry.id,
            labels=tuple(labels[i] for i in chosen),
            scores=tuple(float(values[i]) for i in chosen),
        )


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table with the output's columns, to look at in a notebook or to save as one likes."""
    import pandas as pd

    rows = list(rows)
    top_k = max((len(row.labels) for row in rows), default=1) or 1
    return pd.DataFrame([fields(row, top_k=top_k) for row in rows], columns=columns(top_k))
