"""DATA whose classes are known: every image with the name of its class, in a fixed order.

A tree with a folder per class, a table with an image and a label column, WebDataset shards whose `.cls`, `.json` or
`.txt` says the class; a tree or a table may lie in a `.zip`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from clipcli.errors import BadFile, InputNotFound
from clipcli.pairs import imagefolder, parquet, shards, sidecars, tables
from clipcli.pairs.captions import is_utf8
from clipcli.pairs.pair import Data, PairOptions, skipped_place
from clipcli.pairs.tables import Guesses, Row
from clipcli.sources import files
from clipcli.sources.tree import TreeFile, archive_files, files_below, split_archive, top_folders
from clipcli.types import ImageItem, Skipped

CLASSIFICATION, RETRIEVAL = "classification", "retrieval"
LABEL_COLUMNS = ("truth", "label", "class", "class_name", "category", "target")
_LABEL_KEYS = ("label", "class", "class_name", "cls", "category")
_GUESSES = Guesses(caption=LABEL_COLUMNS, of="label")
# So many images of a shard show whether its texts are names of classes or captions.
_PEEK = 1000


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a table are called; `None` where that is to be guessed."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image with the name of its class, as DATA says it; `key` is its place within DATA, without a suffix."""

    item: ImageItem
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class LabelledData:
    """One DATA, read: `names` are those of all classes, also without images; `called` says what is named so."""

    text: str
    called: str
    entries: tuple[Labelled | Skipped, ...]
    names: tuple[str, ...]


def task_of(data: Data, columns: Columns, *, labelled: bool) -> str:
    """`classification` or `retrieval`: what DATA can be used for; `labelled` says that labels were given.

    Captions beside images, in metadata or in a table make it `retrieval`. The `.txt` of shards are captions where
    most of them differ, and names of classes otherwise.
    """
    if labelled or columns.label is not None:
        return CLASSIFICATION
    if columns.caption is not None:
        return RETRIEVAL
    named = _columns_of(data)
    if named is not None:
        captioned = not set(named) & set(LABEL_COLUMNS) and bool(set(named) & set(tables.CAPTION_COLUMNS))
    elif shards.matches(data):
        captioned = _has_captions(data)
    else:
        captioned = imagefolder.matches(data) or sidecars.matches(data)
    return RETRIEVAL if captioned else CLASSIFICATION


def read_labelled(data: Data, columns: Columns) -> LabelledData:
    """The images of one DATA with the names of their classes.

    Raises `InputNotFound` where there is no such data or no image in it, and `BadFile` for a table or a shard that
    cannot be understood.
    """
    if not os.path.exists(data.text) and split_archive(data.text) is None and not shards.matches(data):
        raise InputNotFound(f"no such data: {data.text or repr('')}; check the path")
    if tables.matches(data) or _table_inside(data) is not None:
        read = _read_table(data, columns)
    elif shards.matches(data):
        read = _read_shards(data)
    else:
        read = _read_tree(data)
    if not any(isinstance(entry, Labelled) for entry in read.entries):
        skipped = [entry for entry in read.entries if isinstance(entry, Skipped)]
        found = f"none but {skipped[0].item.id}: {skipped[0].reason}" if skipped else "none"
        raise InputNotFound(
            f"{data.text}: expected images with labels and found {found};"
            " give a folder per class, a table of images and labels, or shards"
        )
    return read


def _read_tree(data: Data) -> LabelledData:
    entries: list[Labelled | Skipped] = []
    for image in data.images:
        name = image.parts[0]
        if len(image.parts) == 1:
            entries.append(Skipped(image.item, "not in a class folder"))
        elif not is_utf8(name):
            entries.append(Skipped(image.item, "folder name is not UTF-8"))
        else:
            entries.append(Labelled(image.item, name, _key("/".join(image.parts))))
    names = tuple(name for name in top_folders(data.text) if is_utf8(name)) if data.images else ()
    return LabelledData(data.text, "folder", tuple(entries), names)


def _read_table(data: Data, columns: Columns) -> LabelledData:
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
    return LabelledData(data.text, "value", _rooted(entries), _names_of(entries))


def _read_shards(data: Data) -> LabelledData:
    entries: list[Labelled | Skipped] = []
    for sample in shards.samples(data):
        if isinstance(sample, Skipped):
            entries.append(sample)
            continue
        name = _class_in(sample.texts)
        key = _key(sample.item.id.partition(".tar/")[2])
        entries.append(Skipped(sample.item, "no label") if name is None else Labelled(sample.item, name, key))
    return LabelledData(data.text, "value", tuple(entries), _names_of(entries))


def _entry(row: Row, find: Callable[[str], ImageItem | None]) -> Labelled | Skipped:
    item = row.image if isinstance(row.image, ImageItem) else None
    path = row.where if item is not None else str(row.image)
    if item is None:
        reason = tables.why_no_path(row.image)
        item = None if reason else find(path)
        if item is None:
            return skipped_place(row.where, reason or f"no image {path!r}")
    name = _name_in(row.caption)
    return Skipped(item, "no label") if name is None else Labelled(item, name, _key(os.path.normpath(path)))


def _name_in(cell: object) -> str | None:
    """The name in a cell or a member; a number is a name too, and nothing, blank or no whole text is `None`."""
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        return None
    text = str(cell).strip()
    return text if text and is_utf8(text) else None


def _finder(folder: str) -> Callable[[str], ImageItem]:
    """Paths beside the table, else from where we are, as `clipcli classify` writes them, also in a zip."""

    def find(path: str) -> ImageItem:
        beside = os.path.join(folder, path)
        for place in dict.fromkeys((beside, path)):
            if not os.path.exists(place) and split_archive(place) is not None:
                for file in archive_files(place):
                    return ImageItem(path, file.read)
        there = path if not os.path.exists(beside) and os.path.exists(path) else beside
        return files.item(there)

    return find


def _class_in(texts: Mapping[str, Callable[[], bytes]]) -> str | None:
    """What a shard says about an image's class: its `.cls`, else a key of its `.json`, else the line of its `.txt`."""
    for suffix in (shards.LABEL_SUFFIX, ".json", ".txt"):
        if suffix not in texts:
            continue
        text = texts[suffix]().decode("utf-8-sig", "surrogateescape").strip()
        if suffix == ".json":
            text = _under_a_key(text)
        if (name := _name_in(text)) is not None:
            return name
    return None


def _under_a_key(text: str) -> str:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    values = [content[key] for key in _LABEL_KEYS if key in content] if isinstance(content, dict) else []
    return "" if not values or _name_in(values[0]) is None else str(values[0])


def _has_captions(data: Data) -> bool:
    """Whether the texts of the shards are captions: no `.cls`, no label in a `.json`, and most `.txt` of their own."""
    texts: list[str] = []
    for sample in shards.samples(data):
        if isinstance(sample, Skipped):
            continue
        if shards.LABEL_SUFFIX in sample.texts:
            return False
        if ".json" in sample.texts and _under_a_key(sample.texts[".json"]().decode("utf-8", "replace")):
            return False
        texts += [sample.texts[suffix]().decode("utf-8", "replace") for suffix in sample.texts]
        if len(texts) >= _PEEK:
            break
    return 2 * len(set(texts)) > len(texts)


def _columns_of(data: Data) -> list[str] | None:
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
        return file.read()
    # A zip raises nearly anything on a damaged or encrypted file.
    except Exception as e:
        raise BadFile(f"cannot read {file.id}: {e}; check the file") from None


def _names_of(entries: list[Labelled | Skipped]) -> tuple[str, ...]:
    return tuple(sorted({entry.name for entry in entries if isinstance(entry, Labelled)}))


def _rooted(entries: list[Labelled | Skipped]) -> tuple[Labelled | Skipped, ...]:
    """The entries with keys that begin below the folder that all of them share."""
    above = [os.path.dirname(entry.key) for entry in entries if isinstance(entry, Labelled)]
    shared = os.path.commonpath(above) if above and len({os.path.isabs(path) for path in above}) == 1 else ""
    return tuple(_below(entry, shared) for entry in entries)


def _below(entry: Labelled | Skipped, folder: str) -> Labelled | Skipped:
    if isinstance(entry, Skipped) or not folder:
        return entry
    return Labelled(entry.item, entry.name, os.path.relpath(entry.key, folder))


def _key(path: str) -> str:
    return os.path.splitext(path)[0]


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def labelled_of(read: LabelledData) -> Iterator[Labelled]:
    """The entries that are images with a label."""
    return (entry for entry in read.entries if isinstance(entry, Labelled))
