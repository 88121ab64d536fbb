"""The columns of every output, and a row's values in them."""

from __future__ import annotations

from collections.abc import Sequence

from clipcli.errors import BadFile
from clipcli.records import Row

START_ANEW = "start anew with --overwrite in place of --resume"
_SHOWN = 80


def columns(top_k: int) -> list[str]:
    """The columns of every output: `path,label,score[,label_2,score_2,…],error`."""
    ranks = [f"_{n}" if n > 1 else "" for n in range(1, top_k + 1)]
    return ["path", *(name + rank for rank in ranks for name in ("label", "score")), "error"]


def fields(row: Row, *, top_k: int) -> list[str | float | None]:
    """The row's values in the order of `columns`, `None` where there is nothing; scores to 6 significant digits."""
    values: list[str | float | None] = [row.path]
    for label, value in zip(row.labels, row.scores, strict=True):
        values += [label, rounded(value)]
    values += [None] * (1 + 2 * top_k - len(values))
    return [*values, row.error]


def rounded(score: float) -> float:
    """A score as outputs hold it: 6 significant digits."""
    return float(f"{score:.6g}")


def row_of(values: Sequence[object], *, path: str) -> Row:
    """The row whose `fields` these are, one a column; `path` names the file they come from. Raises `BadFile`."""
    image, *ranked, error = values
    labels: list[str] = []
    scores: list[float] = []
    for label, score in zip(ranked[::2], ranked[1::2], strict=True):
        if isinstance(label, str) and isinstance(score, float):
            labels.append(label)
            scores.append(score)
        elif label or score is not None:
            raise no_row(path)
    if not isinstance(image, str) or not isinstance(error, str | None):
        raise no_row(path)
    return Row(image, tuple(labels), tuple(scores), error or None)


def no_row(path: str) -> BadFile:
    """The error for a file that holds something else among its rows, or instead of them."""
    return BadFile(f"{path} holds something that is no row of clipcli classify; {START_ANEW}")


def check_columns(found: Sequence[str], *, path: str, top_k: int) -> None:
    """Raise `BadFile` where the columns of the file are not those of an output with this `top_k`."""
    if list(found) != columns(top_k):
        named = ",".join(found)
        named = named if len(named) <= _SHOWN else named[:_SHOWN] + "…"
        raise BadFile(
            f"{path} has the columns {named} and not {','.join(columns(top_k))}; "
            f"give the --top-k and --format that it was begun with, or {START_ANEW}"
        )
