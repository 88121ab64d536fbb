"""Tables with an image and a label column, also inside a zip or a folder."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

from clipcli.data.labelled.records import Columns, Labelled, LabelledData, key_of, name_in, names_of
from clipcli.data.pairs import parquet, shards, tables
from clipcli.data.pairs.pair import Data, PairOptions, skipped_place
from clipcli.data.pairs.tables import Guesses, Row
from clipcli.data.reference import read as read_bytes
from clipcli.data.sources import files
from clipcli.data.sources.tree import TreeFile, archive_files, files_below, split_archive
from clipcli.errors import BadFile, InputNotFound
from clipcli.records import ImageItem, Skipped

LABEL_COLUMNS = ("truth", "label", "class", "class_name", "category", "target")
_GUESSES = Guesses(caption=LABEL_COLUMNS, of="label")


def matches(data: Data) -> bool:
    """Whether DATA is a table, or one lies in it."""
    return tables.matches(data) or _table_inside(data) is not None


def columns_of(data: Data) -> list[str] | None:
    """The columns of the table that DATA is, or that lies in it; `None` where there is none."""
    inside = _table_inside(data)
    if inside is not None:
        table = inside[0]
        return tables.TEXT_TABLES[_suffix(table.id)](io.BytesIO(_bytes(table)), table.id)[0]
    if not tables.matches(data):
        return None
    if _suffix(data.text) == tables.PARQUET:
        return parquet.columns(data.text)
    with open(data.text, "rb") as stream:
        return tables.TEXT_TABLES[_suffix(data.text)](stream, data.text)[0]


def read(data: Data, columns: Columns) -> LabelledData:
    """The images of a table in the order of its rows. Raises `InputNotFound`, and `BadFile` with the line."""
    inside = _table_inside(data)
    options = PairOptions((), image_column=columns.image, caption_column=columns.label)
    entries: list[Labelled | Skipped] = []
    if inside is None:
        find = _finder(os.path.dirname(data.text))
        try:
            with open(data.text, "rb") as stream:
                rows = tables.table_rows(stream, data.text, options, _GUESSES)
                entries += [_entry(row, find) for row in rows]
        except OSError as e:
            raise InputNotFound(f"cannot read {data.text}: {e.strerror or e}; check the file") from None
    else:
        table, around = inside
        by_path = {"/".join(file.parts): file.item for file in around}
        rows = tables.text_rows(io.BytesIO(_bytes(table)), name=table.id, options=options, guesses=_GUESSES)
        entries += [_entry(row, lambda path: by_path.get(os.path.normpath(path))) for row in rows]
    return LabelledData(data.text, "value", _rooted(entries), names_of(entries))


def _table_inside(data: Data) -> tuple[TreeFile, tuple[TreeFile, ...]] | None:
    """The table inside a zip or a folder, and the files around it: named itself, or the only one with its images."""
    if tables.matches(data) or shards.matches(data):
        return None
    there = [file for file in data.files if len(file.parts) == 1 and _suffix(file.id) in tables.TEXT_TABLES]
    if len(there) != 1:
        return None
    if len(data.files) == 1 and _suffix(data.text) in tables.TEXT_TABLES:
        return there[0], tuple(files_below(os.path.dirname(data.text)))
    folders = {image.parts[0] for image in data.images if len(image.parts) > 1}
    return (there[0], data.files) if len(folders) < 2 and data.images else None


def _bytes(file: TreeFile) -> bytes:
    try:
        return read_bytes(file.reference)
    # A zip raises nearly anything on a damaged or encrypted file.
    except Exception as e:
        raise BadFile(f"cannot read {file.id}: {e}; check the file") from None


def _entry(row: Row, find: Callable[[str], ImageItem | None]) -> Labelled | Skipped:
    item = row.image if isinstance(row.image, ImageItem) else None
    path = row.where if item is not None else str(row.image)
    if item is None:
        reason = tables.why_no_path(row.image)
        item = None if reason else find(path)
        if item is None:
            return skipped_place(row.where, reason or f"no image {path!r}")
    name = name_in(row.caption)
    return Skipped(item, "no label") if name is None else Labelled(item, name, key_of(os.path.normpath(path)))


def _finder(folder: str) -> Callable[[str], ImageItem]:
    """Paths beside the table, else from where we are, as `clipcli classify` writes them, also in a zip."""
    archives: dict[str, dict[tuple[str, ...], TreeFile]] = {}

    def in_archive(place: str) -> TreeFile | None:
        path, inside = (None if os.path.exists(place) else split_archive(place)) or (None, ())
        if path is None:
            return None
        if path not in archives:
            # Each archive is opened and listed once, however many rows lead into it.
            archives[path] = {file.parts: file for file in archive_files(path)}
        return archives[path].get(inside)

    def find(path: str) -> ImageItem:
        beside = os.path.join(folder, path)
        for place in dict.fromkeys((beside, path)):
            file = in_archive(place)
            if file is not None:
                return ImageItem(path, file.reference)
        there = path if not os.path.exists(beside) and os.path.exists(path) else beside
        return files.item(there)

    return find


def _rooted(entries: list[Labelled | Skipped]) -> tuple[Labelled | Skipped, ...]:
    """The entries with keys that begin below the folder that all of them share."""
    above = [os.path.dirname(entry.key) for entry in entries if isinstance(entry, Labelled)]
    shared = os.path.commonpath(above) if above and len({os.path.isabs(path) for path in above}) == 1 else ""
    return tuple(_below(entry, shared) for entry in entries)


def _below(entry: Labelled | Skipped, folder: str) -> Labelled | Skipped:
    if isinstance(entry, Skipped) or not folder:
        return entry
    return Labelled(entry.item, entry.name, os.path.relpath(entry.key, folder))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
