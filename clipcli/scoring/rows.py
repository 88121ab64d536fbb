"""Turns decisions into rows, and rows into a pandas table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from clipcli.errors import UsageError
from clipcli.records import Decided, ImageItem, Row, Skipped
from clipcli.scoring.schema import Schema

if TYPE_CHECKING:
    import pandas as pd


def to_rows(
    decided: Decided, labels: Sequence[str], *, kept: Sequence[str] = (), paths: Sequence[str | None] | None = None
) -> Iterator[Row]:
    """Yield one row for each entry, in order, with its labels and scores, and its cells of the `kept` columns.

    `paths` has the `label_path` of each of the `labels`, where these are in groups.
    """
    decisions = iter(decided.decisions)
    for entry in decided.entries:
        if isinstance(entry, Skipped):
            yield Row(entry.item.id, (), (), entry.reason, _cells(entry.item, kept))
            continue
        decision = next(decisions)
        chosen = tuple(labels[n] for n in decision.classes)
        label_path = paths[decision.classes[0]] if paths else None
        yield Row(entry.id, chosen, decision.scores, None, _cells(entry, kept), decision.all_scores, label_path)


def to_frame(rows: Iterable[Row], *, schema: Schema | None = None) -> pd.DataFrame:
    """Turn rows into a table with the columns of an output, for a notebook or to save in any format.

    Without a `schema` it has as many labels as the row with the most; give `Schema(several=True)` for lists of labels
    and scores, and with `wide=labels` for a column a label. Raises `UsageError` for rows with kept cells, or the scores
    of all labels, and no `schema`, which alone has the names of their columns.
    """
    import pandas as pd

    rows = list(rows)
    if schema is None:
        if any(row.kept for row in rows):
            raise UsageError("the rows have cells of the inputs' tables; give schema=Schema(top_k=…, kept=names)")
        if any(row.all_scores for row in rows):
            raise UsageError("the rows have a score for each label; give schema=Schema(several=True, wide=labels)")
        has_paths = any(row.label_path is not None for row in rows)
        schema = Schema(top_k=max((len(row.labels) for row in rows), default=1) or 1, has_paths=has_paths)
    return pd.DataFrame([schema.fields(row) for row in rows], columns=list(schema.columns))


def _cells(item: ImageItem, kept: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(item.cells.get(name) for name in kept)
