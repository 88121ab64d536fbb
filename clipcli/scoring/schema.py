"""The columns of an output, and a row's values in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clipcli.errors import BadFile, UsageError
from clipcli.records import Row

Value = str | float | None

_OWN = re.compile(r"path|error|(label|score)(_\d+)?")
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of an output: `path,label,score[,label_2,score_2,…],error`, then those kept of the inputs' tables.

    A row has up to `top_k` labels. `kept` are the names of the kept columns in the tables; one that an output gives a
    column of its own is written as `input_NAME`. Raises `UsageError` where two would then be called alike.
    """

    top_k: int = 1
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        written = self.columns[2 + 2 * self.top_k :]
        twice = next((name for n, name in enumerate(written) if name in written[:n]), None)
        if twice is not None:
            raise UsageError(f"two of the columns to keep would both be called {twice}; keep one of them")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        ranks = [f"_{n}" if n > 1 else "" for n in range(1, self.top_k + 1)]
        ranked = (name + rank for rank in ranks for name in ("label", "score"))
        kept = (f"input_{name}" if _OWN.fullmatch(name) else name for name in self.kept)
        return ("path", *ranked, "error", *kept)

    @property
    def types(self) -> tuple[type, ...]:
        """The type of each column: scores are `float`, the others `str`."""
        return (str, *(str, float) * self.top_k, str, *(str for _ in self.kept))

    def fields(self, row: Row) -> list[Value]:
        """The row's values, one a column, `None` where there is nothing; scores to 6 significant digits."""
        values: list[Value] = [row.path]
        for label, value in zip(row.labels, row.scores, strict=True):
            values += [label, rounded(value)]
        values += [None] * (1 + 2 * self.top_k - len(values))
        return [*values, row.error, *row.kept]

    def row(self, values: Sequence[object], *, path: str) -> Row:
        """The row whose `fields` these are; `path` names the file they come from. Raises `BadFile`."""
        if len(values) != 2 + 2 * self.top_k + len(self.kept):
            raise no_row(path)
        image, *ranked = values[: 1 + 2 * self.top_k]
        error, *kept = values[1 + 2 * self.top_k :]
        labels: list[str] = []
        scores: list[float] = []
        for label, score in zip(ranked[::2], ranked[1::2], strict=True):
            if isinstance(label, str) and isinstance(score, float):
                labels.append(label)
                scores.append(score)
            elif label or score is not None:
                raise no_row(path)
        cells = tuple(cell for cell in kept if isinstance(cell, str | None))
        if not isinstance(image, str) or not isinstance(error, str | None) or len(cells) < len(kept):
            raise no_row(path)
        return Row(image, tuple(labels), tuple(scores), error or None, cells)

    @classmethod
    def of(cls, columns: Sequence[str], *, path: str) -> Schema:
        """The schema with these columns; `path` names the file they come from. Raises `BadFile` where there is none."""
        found = tuple(columns)
        if "error" in found:
            place = found.index("error")
            kept = found[place + 1 :]
            if len(set(kept)) == len(kept) and not any(map(_OWN.fullmatch, kept)):
                schema = cls(top_k=max(1, (place - 1) // 2), kept=kept)
                if schema.columns == found:
                    return schema
        named = ",".join(found)
        named = named if len(named) <= _SHOWN else named[:_SHOWN] + "…"
        raise BadFile(f"{path} has the columns {named}; expected path,label,score,error, as clipcli classify writes")


def rounded(score: float) -> float:
    """A score as outputs hold it: 6 significant digits."""
    return float(f"{score:.6g}")


def no_row(path: str) -> BadFile:
    """The error for a file that holds something else among its rows, or instead of them."""
    return BadFile(f"{path} holds something that is no row of clipcli classify; give an output as it was written")
