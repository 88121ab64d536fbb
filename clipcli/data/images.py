"""Lists the images of all inputs, for `classify`.

The order is that of the inputs. Within a folder, a zip or a glob, paths are sorted by their parts in code-point order:
the same on every machine and in every locale. Shards and tables keep their own order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TextIO

from clipcli.data.columns import ALL, IMAGE
from clipcli.data.file_names import IMAGE_SUFFIXES
from clipcli.data.formats import suffixes_of
from clipcli.data.kinds import KINDS, TREES, kind_of, tables
from clipcli.data.kinds.folders import OTHER_FILES
from clipcli.data.samples import Reading
from clipcli.data.tables import in_tree
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound, UsageError, some_of
from clipcli.notices import Notices
from clipcli.records import ImageItem, Skipped


def list_images(
    inputs: Sequence[str | ImageItem],
    *,
    stdin: TextIO | None = None,
    image_column: str | None = None,
    keep: Sequence[str] = (),
    notices: Notices | None = None,
    exclude: Sequence[str] = (),
    listed: list[str] | None = None,
    also: Sequence[str] = (),
    null: bool = False,
) -> list[ImageItem]:
    """All images of `inputs`, in order: an image stays as it is, and the input `-` is a list of paths on `stdin`.

    In a table each row is one item; its image is in the column `image_column`, which is guessed if it is `None`. The
    cells of the columns named in `keep`, or of all others for `("all",)`, become the items' `cells`. `notices` counts
    what was left out, and files that fit a pattern of `exclude` are left out. Folders that are looked into are added to
    `listed`. Files of the kinds in `also` count as images of folders. With `null`, lists are split at NUL characters.

    Raises `InputNotFound` for an input that does not exist or has no image, `BadFile` for a table that cannot be
    parsed, `MissingExtra` for Parquet without pyarrow, and `UsageError` if no table has a column of `keep`. Paths in
    a list or a table are not checked here: a missing file is skipped with a reason when it is read.
    """
    if not inputs:
        raise InputNotFound("no inputs were given; give images, folders, globs or lists")
    notices, listed = notices or Notices(), [] if listed is None else listed
    how = (notices, tuple(exclude), listed, suffixes_of(also))
    found = [one if isinstance(one, ImageItem) else Data(one, *how) for one in inputs]
    kinds = {n: _kind(one) for n, one in enumerate(found) if isinstance(one, Data)}
    if keep:
        _check_keep(keep, [(one, kinds[n]) for n, one in enumerate(found) if isinstance(one, Data)])
    reading = Reading(IMAGE.named(image_column), keep=tuple(keep), stdin=stdin, null=null)
    items: list[ImageItem] = []
    for n, data in enumerate(found):
        items += [data] if isinstance(data, ImageItem) else _some_items(data, kinds[n], reading)
    return items


def check_inputs(inputs: Sequence[str | ImageItem]) -> None:
    """Raise `InputNotFound` for an input that does not exist; none is listed."""
    for one in inputs:
        if not isinstance(one, ImageItem):
            _kind(Data(one))


def _what_was_looked_for(data: Data, kind: str) -> str:
    if kind == "table":
        return "it has no rows"
    passed_over = data.notices.take(OTHER_FILES)
    return passed_over or f"looked for {', '.join(sorted(IMAGE_SUFFIXES))}"


def _kind(data: Data) -> str:
    kind = kind_of(data)
    if kind is None:
        raise InputNotFound(f"no such image, folder or list: {data.text}; check the path")
    return kind


def _some_items(data: Data, kind: str, reading: Reading) -> list[ImageItem]:
    items = list(_items(data, kind, reading))
    if not items:
        raise InputNotFound(f"no images in {data.text}; {_what_was_looked_for(data, kind)}")
    return items


def _items(data: Data, kind: str, reading: Reading) -> Iterator[ImageItem]:
    cells = _cells_in_metadata(data, reading) if reading.keep and kind in TREES else {}
    # A row without an image is an item too: reading it raises the reason.
    items = (sample.item for sample in KINDS[kind].samples(data, reading))
    return (replace(item, cells=cells[item.id]) if item.id in cells else item for item in items) if cells else items


def _cells_in_metadata(data: Data, reading: Reading) -> Mapping[str, Mapping[str, str | None]]:
    """The kept cells of each image in metadata files, by the image's id; the first row of an image counts."""
    cells: dict[str, Mapping[str, str | None]] = {}
    in_metadata = replace(reading, image=in_tree.FILE_NAME) if reading.image == IMAGE else reading
    for sample in in_tree.samples_in(in_tree.metadata_in(data), data.files, in_metadata, notices=data.notices):
        if not isinstance(sample, Skipped):
            cells.setdefault(sample.item.id, sample.item.cells)
    return cells


def _check_keep(keep: Sequence[str], data_and_kinds: Sequence[tuple[Data, str]]) -> None:
    """Raise `UsageError` for a column that no table has."""
    columns = list(dict.fromkeys(column for data, kind in data_and_kinds for column in _columns(data, kind)))
    missing = [name for name in keep if name not in columns and (name != ALL or not columns)]
    if missing:
        todo = f"its columns are {some_of(columns)}" if columns else "there is no table among the inputs"
        raise UsageError(f"no table has a column {some_of(missing)}; {todo}")


def _columns(data: Data, kind: str) -> list[str]:
    if kind == "table":
        return tables.columns_of(data)
    files = in_tree.metadata_in(data) if kind in TREES else []
    return [column for file in files for column in in_tree.open_table(file, data.notices).texts]
