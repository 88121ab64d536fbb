"""An output as commands read it that act on its images: rows with their images, groups, and what has changed since."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clipcli.classes import tree
from clipcli.data.images import list_images
from clipcli.errors import BadFile, InputNotFound
from clipcli.files.manifest import Manifest, read_manifest
from clipcli.notices import Notice, Notices
from clipcli.outputs.read import read_rows
from clipcli.records import ImageItem, Row

GONE = Notice(
    "image has vanished since it was labelled",
    "images have vanished since they were labelled",
    "left out; if they only lie elsewhere, paths are looked up beside the predictions and from the working folder",
)
CHANGED = Notice(
    "image has changed since it was labelled",
    "images have changed since they were labelled",
    "the labels that they have count; classify them again if they show something else by now",
)
TWICE = Notice("row is of an image again", "rows are of images again", "the first row of each image counts")
# Manifests tell when a run began to the second.
_GRAIN = 1.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """The rows of an output, `several` if an image may have several labels, and their images in the same order.

    `paths` leads from a label or a group through its groups to itself, where there are groups. `read_at` is the time in
    seconds until which an image's last change was seen by the run: that of its beginning, or without a manifest that of
    the output's last change.
    """

    file: str
    several: bool
    rows: tuple[Row, ...]
    items: tuple[ImageItem, ...]
    manifest: Manifest | None
    paths: Mapping[str, tree.Path]
    read_at: float

    def __iter__(self) -> Iterator[tuple[Row, ImageItem]]:
        return iter(zip(self.rows, self.items, strict=True))

    def path_of(self, label: str) -> tree.Path:
        """The label behind its groups, alone if it is in none."""
        return self.paths.get(label, (label,))

    def best(self, row: Row, *, top_k: int | None, min_score: float | None) -> list[tuple[str, float]]:
        """The labels of a row that count, with their scores, best first: one, or all of several, if `top_k` is `None`.

        Those of a score below `min_score` do not count, and none moves up in their place.
        """
        most = top_k or (None if self.several else 1)
        pairs = list(zip(row.labels, row.scores, strict=True))[:most]
        return [pair for pair in pairs if min_score is None or pair[1] >= min_score]

    def is_changed(self, path: str) -> bool:
        """True if a file was changed after the run that labelled it began. Raises `OSError`."""
        return os.stat(path).st_mtime > self.read_at

    def note_gone(self, gone: Sequence[str], notices: Notices, *, others: bool) -> None:
        """Count images that are `gone`, of these paths. Raises `InputNotFound` if there are no `others`."""
        if gone and not others:
            raise InputNotFound(
                f"none of the {len(gone):,} images is there, such as {gone[0]}; paths in {self.file} are from the"
                " folder that clipcli classify ran in, so run this in that folder; if they were moved, clipcli classify"
                " --update finds them"
            )
        for path in gone:
            notices.add(GONE, path)


def read_labelled(predictions: str, notices: Notices) -> Labelled:
    """Read an output and what is beside it. Raises `InputNotFound` and `BadFile` for what is no output."""
    schema, found = read_rows(predictions)
    rows = tuple(found)
    items = tuple(list_images([predictions], image_column="path", notices=notices))
    manifest = None
    with suppress(OSError, BadFile):
        manifest = read_manifest(Path(predictions).resolve())
    if manifest is None:
        read_at = os.stat(predictions).st_mtime
    else:
        read_at = datetime.fromisoformat(manifest.begun).timestamp() + _GRAIN
    return Labelled(predictions, schema.several, rows, items, manifest, _paths(rows, manifest), read_at)


def _paths(rows: Sequence[Row], manifest: Manifest | None) -> dict[str, tree.Path]:
    paths: dict[str, tree.Path] = {}
    for one in manifest.provenance.classes if manifest is not None else ():
        path = (*one.get("groups", ()), one["label"])
        for n in range(1, len(path) + 1):
            paths.setdefault(path[n - 1], path[:n])
    for row in rows:
        path = () if row.label_path is None else tree.split_path(row.label_path)
        # That of a label that was corrected is still the former one's.
        if path and row.labels and path[-1] == row.labels[0]:
            paths[path[-1]] = path
    return paths
