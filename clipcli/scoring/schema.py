"""The columns of an output, and the values of a row in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from clipcli.errors import BadFile, UsageError
from clipcli.records import Row

Value = str | float | list[str] | list[float] | None

# The columns of an output that are neither kept ones nor those of a label: with one label a column, and with several.
_OWN = re.compile(r"path|error|(label|score)(_\d+)?")
SOURCE = "source"
_OWN_OF_SEVERAL = re.compile(r"path|error|labels|scores")
LABEL_PATH = "label_path"
# Characters of a file's header that an error shows.
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of an output: `path,label,score[,label_2,score_2,…][,label_path],error`, then those kept of tables.

    A row has up to `top_k` labels, and with `has_paths` the path of the best one through its groups. With `several` it
    has any number of them, and the columns are `path,labels,scores,error`; with `wide`, the names of all labels, each
    has a column of its own with its score in place of `scores`. A label that is called as an own column, such as
    `error`, has the column `label_error`. With `has_source` the column `source` stands behind `path`.

    `kept` are the names of the kept columns in the tables; one that an output has as its own, such as `label`, is
    written as `input_label`. Raises `UsageError` if two columns then have the same name.

    With `spreadsheet_safe`, CSV is written as `clipcli.data.tables.formulas` says; the columns are the same.
    """

    top_k: int = 1
    kept: tuple[str, ...] = ()
    several: bool = False
    wide: tuple[str, ...] = ()
    has_paths: bool = False
    has_source: bool = False
    spreadsheet_safe: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        duplicate = _first_twice(self._of_labels)
        if duplicate is not None:
            raise UsageError(f"two of the labels would both have the column {duplicate}; rename one, or drop --wide")
        taken = next((name for name in self.wide if _label_of_column(name) != name), None)
        if taken is not None:
            raise UsageError(f"--wide has the column {taken} for another label than '{taken}'; rename it")
        if self.has_source and SOURCE in self.wide:
            raise UsageError(f"--update has a column {SOURCE} of its own; rename the label '{SOURCE}', or drop --wide")
        duplicate = _first_twice(self.columns[-len(self.kept) :] if self.kept else ())
        if duplicate is not None:
            raise UsageError(f"two of the columns to keep would both be called {duplicate}; keep one of them")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        kept = (f"input_{name}" if self._is_own(name) else name for name in self.kept)
        first = ("path", *(SOURCE,) * self.has_source)
        if self.several:
            return (*first, "labels", *(self._of_labels or ("scores",)), "error", *kept)
        ranks = [f"_{n}" if n > 1 else "" for n in range(1, self.top_k + 1)]
        ranked = (name + rank for rank in ranks for name in ("label", "score"))
        return (*first, *ranked, *(LABEL_PATH,) * self.has_paths, "error", *kept)

    @property
    def types(self) -> tuple[type, ...]:
        """The type of each column: scores are `float` or lists of it, the others `str` or lists of it."""
        kept = (str for _ in self.kept)
        first = (str,) * (1 + self.has_source)
        if self.several:
            scores = tuple(float for _ in self.wide) or (list[float],)
            return (*first, list[str], *scores, str, *kept)
        return (*first, *(str, float) * self.top_k, *(str,) * self.has_paths, str, *kept)

    def fields(self, row: Row) -> list[Value]:
        """The values of a row, one per column, `None` if there is none; scores have 6 significant digits."""
        values: list[Value] = [row.path, *[row.source] * self.has_source]
        if self.several:
            values += self._fields_of_several(row)
            return [*values, row.error, *row.kept]
        for label, value in zip(row.labels, row.scores, strict=True):
            values += [label, rounded(value)]
        values += [None] * (1 + self.has_source + 2 * self.top_k - len(values))
        return [*values, *[row.label_path] * self.has_paths, row.error, *row.kept]

    def row(self, values: Sequence[object], *, path: str) -> Row:
        """The row with these values, as `fields` gives them; `path` names their place in errors. Raises `BadFile`."""
        if len(values) != len(self.columns):
            raise no_row(path, f"{len(values)} fields for {len(self.columns)} columns")
        source = values[1] if self.has_source else None
        if self.has_source:
            values = [*values[:1], *values[2:]]
        own = 1 + (1 + (len(self.wide) or 1) if self.several else 2 * self.top_k)
        image, *found = values[:own]
        *paths, error = values[own : own + self.has_paths + 1]
        kept = values[own + self.has_paths + 1 :]
        cells = tuple(cell for cell in kept if isinstance(cell, str | None))
        label_path = next(iter(paths), None)
        if not isinstance(image, str):
            raise no_row(path, "its path is no text")
        if not isinstance(error, str | None) or not isinstance(label_path, str | None):
            raise no_row(path, "its error or label_path is no text")
        if not isinstance(source, str | None) or len(cells) < len(kept):
            raise no_row(path, "its source or a kept column is no text")
        if self.several:
            labels, scores, all_scores = self._several(found, path=path)
            return Row(image, labels, scores, error or None, cells, all_scores, source=source or None)
        ranked = _ranked(found, path=path)
        return Row(image, *ranked, error or None, cells, label_path=label_path or None, source=source or None)

    @classmethod
    def of(cls, columns: Sequence[str], *, path: str) -> Schema:
        """The schema with these columns; `path` names their file in errors. Raises `BadFile` if there is none."""
        columns = tuple(columns)
        if "error" in columns:
            error = columns.index("error")
            kept = columns[error + 1 :]
            # Columns that are called alike are of no output.
            with suppress(UsageError):
                schema = cls._like(columns[:error], kept)
                if schema.columns == columns and len(set(kept)) == len(kept):
                    return schema
        header = ",".join(columns)
        header = header if len(header) <= _SHOWN else header[:_SHOWN] + "…"
        raise BadFile(f"{path} has the columns {header}; expected path,label,score,error, as clipcli classify writes")

    @classmethod
    def _like(cls, own: tuple[str, ...], kept: tuple[str, ...]) -> Schema:
        """The schema that most likely has these columns before `error`, and those kept after it."""
        if own[1:2] == (SOURCE,):
            return replace(cls._like((*own[:1], *own[2:]), kept), has_source=True)
        if own[1:2] != ("labels",):
            return cls(top_k=max(1, (len(own) - 1) // 2), kept=kept, has_paths=own[-1:] == (LABEL_PATH,))
        wide = () if own[2:] == ("scores",) else tuple(map(_label_of_column, own[2:]))
        return cls(kept=kept, several=True, wide=wide)

    @property
    def _of_labels(self) -> tuple[str, ...]:
        """The columns of the labels, one each."""
        return tuple(f"label_{name}" if _OWN_OF_SEVERAL.fullmatch(name) else name for name in self.wide)

    def _is_source(self, name: str) -> bool:
        return self.has_source and name == SOURCE

    def _is_own(self, name: str) -> bool:
        if self.several:
            return bool(_OWN_OF_SEVERAL.fullmatch(name)) or name in self._of_labels or self._is_source(name)
        return bool(_OWN.fullmatch(name)) or (self.has_paths and name == LABEL_PATH) or self._is_source(name)

    def _fields_of_several(self, row: Row) -> list[Value]:
        """The lists of labels and scores, or the list of labels and all scores; nothing for an image with an error."""
        if row.error is not None and not row.labels:
            return [None] * (1 + (len(self.wide) or 1))
        if self.wide:
            return [list(row.labels), *(map(rounded, row.all_scores) if row.all_scores else [None] * len(self.wide))]
        return [list(row.labels), [rounded(score) for score in row.scores]]

    def _several(
        self, values: Sequence[object], *, path: str
    ) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
        """The labels of a row, their scores, and with `wide` the scores of all labels."""
        labels, *found = values
        if labels is None:
            labels = []
        if not self.wide:
            [scores] = found
            found = scores if isinstance(scores, list) else []
        scores = [score for score in found if isinstance(score, float)]
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise no_row(path, "its labels are no list of texts")
        if not self.wide:
            if not len(labels) == len(scores) == len(found):
                raise no_row(path, f"{len(labels)} labels and {len(scores)} scores")
            return tuple(labels), tuple(scores), ()
        by_label = dict(zip(self.wide, scores, strict=False))
        # A person may have said what is no class, in an output that is kept up to date.
        strangers = not self.has_source and not by_label.keys() >= set(labels)
        if len(scores) not in (0, len(self.wide)):
            raise no_row(path, f"{len(scores)} scores for {len(self.wide)} columns of labels")
        if strangers:
            raise no_row(path, "a label that has no column")
        return tuple(labels), tuple(by_label.get(label, 1.0) for label in labels), tuple(scores)


def _ranked(values: Sequence[object], *, path: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The labels and scores of a row, from their columns in turn."""
    labels: list[str] = []
    scores: list[float] = []
    for label, score in zip(values[::2], values[1::2], strict=True):
        if isinstance(label, str) and isinstance(score, float):
            labels.append(label)
            scores.append(score)
        elif label or score is not None:
            raise no_row(path, "a label without a score that is a number, or a score without a label")
    return tuple(labels), tuple(scores)


def _label_of_column(column: str) -> str:
    """The label of a column that `Schema.wide` gave."""
    name = column.removeprefix("label_")
    return name if _OWN_OF_SEVERAL.fullmatch(name) else column


def _first_twice(names: Sequence[str]) -> str | None:
    return next((name for n, name in enumerate(names) if name in names[:n]), None)


def rounded(score: float) -> float:
    """Round a score to 6 significant digits, as outputs hold it."""
    return float(f"{score:.6g}")


def no_row(path: str, reason: str) -> BadFile:
    """The error for a file in which something is not a row; `path` may have the number of its line as well."""
    return BadFile(
        f"{path} holds something that is no row of clipcli classify ({reason}); give an output as it was written"
    )
