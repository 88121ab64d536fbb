"""The columns of an output, and the values of a row in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clipcli.errors import BadFile, UsageError
from clipcli.records import Row

Value = str | float | None

# The columns of an output that are not kept ones.
_OWN = re.compile(r"path|error|(label|score)(_\d+)?")
LABEL_PATH = "label_path"
# Characters of a file's header that an error shows.
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of an output: `path,label,score[,label_2,score_2,…][,label_path],error`, then those kept of tables.

    A row has up to `top_k` labels, and with `has_paths` the path of the best one through its groups. `kept` are the
    names of the kept columns in the inputs' tables; one that an output has as its own, such as `label`, is written as
    `input_label`. Raises `UsageError` if two then have the same name.
    """

    top_k: int = 1
    kept: tuple[str, ...] = ()
    has_paths: bool = False

    def __post_init__(self) -> None:
        names = self.columns[2 + 2 * self.top_k + self.has_paths :]
        duplicate = next((name for n, name in enumerate(names) if name in names[:n]), None)
        if duplicate is not None:
            raise UsageError(f"two of the columns to keep would both be called {duplicate}; keep one of them")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        ranks = [f"_{n}" if n > 1 else "" for n in range(1, self.top_k + 1)]
        ranked = (name + rank for rank in ranks for name in ("label", "score"))
        kept = (f"input_{name}" if _is_own(name, self.has_paths) else name for name in self.kept)
        return ("path", *ranked, *(LABEL_PATH,) * self.has_paths, "error", *kept)

    @property
    def types(self) -> tuple[type, ...]:
        """The type of each column: scores are `float`, the others `str`."""
        return (str, *(str, float) * self.top_k, *(str,) * self.has_paths, str, *(str for _ in self.kept))

    def fields(self, row: Row) -> list[Value]:
        """The values of a row, one per column, `None` if there is none; scores have 6 significant digits."""
        values: list[Value] = [row.path]
        for label, value in zip(row.labels, row.scores, strict=True):
            values += [label, rounded(value)]
        values += [None] * (1 + 2 * self.top_k - len(values))
        return [*values, *[row.label_path] * self.has_paths, row.error, *row.kept]

    def row(self, values: Sequence[object], *, path: str) -> Row:
        """The row with these values, as `fields` gives them; `path` names their file in errors. Raises `BadFile`."""
        if len(values) != len(self.columns):
            raise no_row(path)
        image, *ranked = values[: 1 + 2 * self.top_k]
        *paths, error = values[1 + 2 * self.top_k :][: 1 + self.has_paths]
        kept = values[2 + 2 * self.top_k + self.has_paths :]
        labels: list[str] = []
        scores: list[float] = []
        for label, score in zip(ranked[::2], ranked[1::2], strict=True):
            if isinstance(label, str) and isinstance(score, float):
                labels.append(label)
                scores.append(score)
            elif label or score is not None:
                raise no_row(path)
        cells = tuple(cell for cell in kept if isinstance(cell, str | None))
        label_path = next(iter(paths), None)
        if not isinstance(image, str) or not isinstance(error, str | None) or len(cells) < len(kept):
            raise no_row(path)
        if not isinstance(label_path, str | None):
            raise no_row(path)
        return Row(image, tuple(labels), tuple(scores), error or None, cells, label_path or None)

    @classmethod
    def of(cls, columns: Sequence[str], *, path: str) -> Schema:
        """The schema with these columns; `path` names their file in errors. Raises `BadFile` if there is none."""
        columns = tuple(columns)
        if "error" in columns:
            error = columns.index("error")
            kept, has_paths = columns[error + 1 :], columns[error - 1] == LABEL_PATH
            if len(set(kept)) == len(kept) and not any(_is_own(name, has_paths) for name in kept):
                schema = cls(top_k=max(1, (error - 1) // 2), kept=kept, has_paths=has_paths)
                if schema.columns == columns:
                    return schema
        header = ",".join(columns)
        header = header if len(header) <= _SHOWN else header[:_SHOWN] + "…"
        raise BadFile(f"{path} has the columns {header}; expected path,label,score,error, as clipcli classify writes")


def _is_own(name: str, has_paths: bool) -> bool:
    """True for a column that an output has itself."""
    return bool(_OWN.fullmatch(name)) or (has_paths and name == LABEL_PATH)


def rounded(score: float) -> float:
    """Round a score to 6 significant digits, as outputs hold it."""
    return float(f"{score:.6g}")


def no_row(path: str) -> BadFile:
    """The error for a file in which something is not a row."""
    return BadFile(f"{path} holds something that is no row of clipcli classify; give an output as it was written")
