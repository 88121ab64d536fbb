"""The columns of every output, and a row's values in them."""

from __future__ import annotations

from clipcli.types import Row


def columns(top_k: int) -> list[str]:
    """The columns of every output: `path,label,score[,label_2,score_2,…],error`."""
    ranks = [f"_{n}" if n > 1 else "" for n in range(1, top_k + 1)]
    return ["path", *(name + rank for rank in ranks for name in ("label", "score")), "error"]


def fields(row: Row, *, top_k: int) -> list[str | float | None]:
    """The row's values in the order of `columns`, `None` where there is nothing; scores to 6 significant digits."""
    values: list[str | float | None] = [row.path]
    for label, value in zip(row.labels, row.scores, strict=True):
        values += [label, float(f"{value:.6g}")]
    values += [None] * (1 + 2 * top_k - len(values))
    return [*values, row.error]
