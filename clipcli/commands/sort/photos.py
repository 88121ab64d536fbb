"""The images of an output with the labels that they are sorted by, and those that have changed since they got them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clipcli.classes.tree import split_path
from clipcli.commands.sort.settings import SortSettings
from clipcli.data.images import list_images
from clipcli.errors import BadFile, InputNotFound, UsageError
from clipcli.files.manifest import Manifest, read_manifest
from clipcli.memory.memory import open_memory
from clipcli.notices import Notice, Notices
from clipcli.outputs.read import read_rows
from clipcli.records import ImageItem, Row

ERROR = Notice("row has an error and no label", "rows have an error and no label", "left where they are")
NO_LABEL = Notice("row has no label", "rows have no label", "left where they are", warns=False)
BELOW = Notice("image has no label with so high a score", "images have no label with so high a score", "left", False)
GONE = Notice(
    "image has vanished since it was labelled",
    "images have vanished since they were labelled",
    "left out; if they only lie elsewhere, paths are looked up beside the predictions and from the working folder",
)
CHANGED = Notice(
    "image has changed since it was labelled",
    "images have changed since they were labelled",
    "sorted by the labels that they have; classify them again if they show something else by now",
)
BY_TIME = Notice(
    "image is not in the cache",
    "images are not in the cache",
    "that they are as they were when they were labelled is told by the times of their files alone",
    warns=False,
)
# Manifests tell when a run began to the second.
_GRAIN = 1.0


@dataclass(frozen=True, slots=True)
class Photo:
    """An image that is sorted: its file's absolute path, and its labels with their groups and scores, best first."""

    item: ImageItem
    path: str
    labels: tuple[tuple[str, ...], ...]
    scores: tuple[float, ...]

    @property
    def is_file(self) -> bool:
        """True if the path is the image's own, and not that of an archive that it is in."""
        return self.item.reference.kind == "file"

    @property
    def was_moved(self) -> bool:
        """True if an earlier run moved it, which had looked if it had changed."""
        return os.path.abspath(str(self.item.reference.path)) != self.path


def read_photos(
    options: SortSettings, moved: Mapping[str, str], notices: Notices
) -> tuple[list[Photo], tuple[str, ...]]:
    """The images that have labels to sort by, in the order of their rows, and the paths of those that have vanished.

    `moved` has the present paths of those that were moved by an earlier run. `notices` counts those that are left out.
    Raises `InputNotFound` and `BadFile` for what is no output, and `InputNotFound` if none of its images is there.
    """
    schema, found = read_rows(options.predictions)
    rows = list(found)
    items = list_images([options.predictions], image_column="path", notices=notices)
    groups = _groups(rows, _manifest(options.predictions))
    several = schema.several or options.top_k is not None
    photos, gone = [], []
    for row, item in zip(rows, items, strict=True):
        labelled = _labels(row, options, several=several, notices=notices)
        if not labelled:
            continue
        path = _present(item, row.path, options.predictions, moved)
        if path is None:
            gone.append(row.path)
            continue
        labels = tuple(groups.get(label, (label,)) for label, _ in labelled)
        photos.append(Photo(item, path, labels, tuple(score for _, score in labelled)))
    if gone and not photos:
        raise InputNotFound(
            f"none of the {len(gone):,} images is there, such as {gone[0]}; paths in {options.predictions} are from the"
            " folder that clipcli classify ran in, so run this in that folder"
        )
    for path in gone:
        notices.add(GONE, path)
    return photos, tuple(gone)


def _labels(row: Row, options: SortSettings, *, several: bool, notices: Notices) -> list[tuple[str, float]]:
    """The labels that a row is sorted by, with their scores."""
    pairs = list(zip(row.labels, row.scores, strict=True))
    if not pairs:
        notices.add(NO_LABEL if row.error is None else ERROR, row.path)
        return []
    pairs = pairs[: options.top_k] if several else pairs[:1]
    high = [pair for pair in pairs if options.min_score is None or pair[1] >= options.min_score]
    if not high:
        notices.add(BELOW, row.path)
    return high


def _groups(rows: Sequence[Row], manifest: Manifest | None) -> Mapping[str, tuple[str, ...]]:
    """The path of each label through its groups, from the manifest and the rows, where there are groups."""
    groups: dict[str, tuple[str, ...]] = {}
    for one in manifest.provenance.classes if manifest is not None else ():
        groups[one["label"]] = (*one.get("groups", ()), one["label"])
    for row in rows:
        if row.label_path is not None and row.labels:
            groups[row.labels[0]] = split_path(row.label_path)
    return groups


def _present(item: ImageItem, name: str, predictions: str, moved: Mapping[str, str]) -> str | None:
    """The absolute path of the image's file, or of the archive that it is in; `None` if it is not there."""
    path = item.reference.path
    if path is not None and os.path.isfile(path):
        return os.path.abspath(path)
    for place in (name, os.path.join(os.path.dirname(predictions), name)):
        place = os.path.abspath(place)
        while place in moved and not os.path.lexists(place):
            place = moved[place]
        if os.path.isfile(place):
            return place
    return None


def note_changes(photos: Sequence[Photo], predictions: str, notices: Notices) -> None:
    """Count the images that have changed since they were labelled, and those of which only their time tells.

    The manifest says when labelling began; without one, it was before the predictions were last written. A content of
    which the cache has an embedding of the same model is known by its hash or, where the system keeps it, by the time
    at which anything about the file last changed, which no tool sets back.
    """
    manifest = _manifest(predictions)
    labelled_at = os.stat(predictions).st_mtime
    if manifest is not None:
        labelled_at = datetime.fromisoformat(manifest.begun).astimezone(UTC).timestamp() + _GRAIN
    older = []
    for photo in photos:
        if os.stat(photo.path).st_mtime > labelled_at:
            notices.add(CHANGED, photo.item.id)
        elif not photo.was_moved:
            older.append(photo)
    for photo, as_it_was in zip(older, _as_embedded(older, manifest), strict=True):
        if as_it_was is False:
            notices.add(CHANGED, photo.item.id)
        elif as_it_was is None:
            notices.add(BY_TIME, photo.item.id)


def _as_embedded(photos: Sequence[Photo], manifest: Manifest | None) -> Iterator[bool | None]:
    """For each image: if its content is the one that the model saw; `None` where the cache does not know."""
    memory = open_memory(cache=manifest is not None and manifest.model is not None)
    if not memory or manifest is None or manifest.model is None:
        return iter([None] * len(photos))
    from clipcli.memory.images import ImageStore

    settings = manifest.provenance.settings
    made_with = tuple(str(settings.get(name)) for name in ("decode", "color", "engine"))
    store = ImageStore(memory, manifest.model, made_with=made_with, verify=False)
    return store.as_they_were([photo.item for photo in photos])


def _manifest(predictions: str) -> Manifest | None:
    with suppress(OSError, BadFile):
        return read_manifest(Path(predictions).resolve())
    return None


def check_labels(photos: Sequence[Photo], options: SortSettings) -> None:
    """Raise `UsageError` where a move would have to bring an image to two places."""
    if options.by != "move":
        return
    first = next((photo for photo in photos if len(photo.labels) > 1), None)
    if first is not None:
        raise UsageError(
            f"--by move brings an image to one place, and {first.item.id} has {len(first.labels)} labels; give"
            " --top-k 1, or --by copy, hardlink or symlink"
        )
