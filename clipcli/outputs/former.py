"""Reads the output that an update brings up to date: its rows, how they were made, and whether it was edited since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from clipcli.classes.joined import split_labels
from clipcli.data.columns import cell_text
from clipcli.data.tables.separated import read_csv
from clipcli.data.tables.table import Unreadable
from clipcli.errors import BadFile, UsageError
from clipcli.files.atomic import parts_of, put_in_place
from clipcli.files.manifest import Manifest, manifest_path, read_manifest, sha256_of
from clipcli.notices import Notices
from clipcli.outputs.read import format_of, read_rows
from clipcli.records import Row
from clipcli.scoring.schema import LABEL_PATH, SOURCE, Schema


@dataclass(frozen=True, slots=True)
class Former:
    """An output as it is: `edited` says that it is no longer the file that its `manifest` tells of.

    `sha256` is that of the file.
    """

    path: Path
    schema: Schema
    rows: tuple[Row, ...]
    manifest: Manifest
    sha256: str

    @property
    def edited(self) -> bool:
        """True if the file was changed since it was written, as by corrections."""
        return self.sha256 != self.manifest.sha256


def find_former(output: str, notices: Notices) -> Former | None:
    """The output that there is; `None` if there is none. One that a killed update had all but replaced is replaced.

    A `.csv` that another program saved is read too, as Excel with semicolons; `notices` counts what is odd in it.

    The caller is its only writer. Raises `UsageError` if it has no manifest, and `BadFile` if it is no output.
    """
    path = Path(output)
    if not path.is_file() or not path.stat().st_size:
        return None
    manifest = read_manifest(path.resolve())
    if manifest is None:
        name = manifest_path(path).name
        raise UsageError(
            f"{output} has no manifest ({name}), so nothing says how its rows were made, or what a person changed;"
            " give another --output, or start anew with --overwrite in place of --update"
        )
    _roll_forward(path.resolve(), manifest)
    schema, rows = _read(path, notices)
    # A person takes the label out, and leaves the score.
    rows = tuple(row if not row.labels or row.labels[0] else replace(row, labels=(), scores=()) for row in rows)
    return Former(path, schema, rows, manifest, sha256_of(path))


def _roll_forward(target: Path, manifest: Manifest) -> None:
    """Put the whole output of a run in place that was killed just before it did so, after it wrote the manifest."""
    if manifest.sha256 is None or sha256_of(target) == manifest.sha256:
        return
    # What was edited after that is newer than the manifest.
    if target.stat().st_mtime_ns > manifest_path(target).stat().st_mtime_ns:
        return
    for part in parts_of(target):
        if sha256_of(part) == manifest.sha256:
            put_in_place(part, target)
            manifest_path(part).unlink(missing_ok=True)
            return


def _read(path: Path, notices: Notices) -> tuple[Schema, tuple[Row, ...]]:
    try:
        schema, rows = read_rows(path)
        return schema, tuple(rows)
    except BadFile:
        if format_of(path) != "csv":
            raise
    with path.open("rb") as stream:
        table = read_csv(stream, str(path), notices)
        schema = replace(Schema.of(table.columns, path=str(path)), spreadsheet_safe=table.spreadsheet_safe)
        return schema, tuple(_rows(table.rows("path", table.columns[1:]), schema))


def _rows(rows: Iterator[tuple[str, Mapping[str, object] | Unreadable]], schema: Schema) -> Iterator[Row]:
    """The rows of a table as a person saved it: a label may be gone, or a score be written otherwise."""
    for where, row in rows:
        if isinstance(row, Unreadable):
            raise BadFile(f"{where}: {row.reason}; mend the row, or take it out")
        cells = {name: cell_text(row.get(name)) or "" for name in schema.columns}
        if not cells["path"]:
            raise BadFile(f"{where}: no path; mend the row, or take it out")
        try:
            labels = tuple(split_labels(cells["labels"])) if schema.several else _ranked(cells, schema.top_k)
        except ValueError as e:
            raise BadFile(f"{where}: {e} in its labels; mend the quotes") from None
        yield Row(
            cells["path"],
            labels,
            _scores(cells, schema, len(labels)),
            cells["error"] or None,
            label_path=cells.get(LABEL_PATH) or None,
            source=cells[SOURCE] or None if schema.has_source else None,
        )


def _ranked(cells: Mapping[str, str], top_k: int) -> tuple[str, ...]:
    """The labels of a row, best first; none if the best is taken out."""
    labels = [cells[f"label_{n}" if n > 1 else "label"] for n in range(1, top_k + 1)]
    return tuple(filter(None, labels)) if labels[0] else ()


def _scores(cells: Mapping[str, str], schema: Schema, count: int) -> tuple[float, ...]:
    """As many scores as a row has labels; 1 where none can be read."""
    if schema.wide:
        return (1.0,) * count
    if schema.several:
        texts = cells["scores"].split(";")
    else:
        texts = [cells[f"score_{n}" if n > 1 else "score"] for n in range(1, count + 1)]
    scores = [1.0] * count
    for n, text in enumerate(texts[:count]):
        with suppress(ValueError):
            scores[n] = float(text.replace(",", "."))
    return tuple(scores)
