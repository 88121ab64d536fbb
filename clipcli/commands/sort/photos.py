"""The images of an output with the labels that they are sorted by, and those that have changed since they got them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clipcli.actions.labelled import CHANGED, TWICE, Labelled
from clipcli.commands.sort.settings import SortSettings
from clipcli.errors import UsageError
from clipcli.memory.memory import open_memory
from clipcli.notices import Notice, Notices
from clipcli.records import ImageItem, Row

ERROR = Notice("row has an error and no label", "rows have an error and no label", "left where they are")
NO_LABEL = Notice("row has no label", "rows have no label", "left where they are", warns=False)
BELOW = Notice("image has no label with so high a score", "images have no label with so high a score", "left", False)
OUTSIDE = Notice(
    "image lies outside the folder of the predictions",
    "images lie outside the folder of the predictions",
    "sorted as the others are",
    warns=False,
)
BY_TIME = Notice(
    "image is not in the cache",
    "images are not in the cache",
    "that they are as they were when they were labelled is told by the times of their files alone",
    warns=False,
)


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


def photos_of(
    output: Labelled, options: SortSettings, moved: Mapping[str, str], notices: Notices
) -> tuple[list[Photo], tuple[str, ...]]:
    """The images that have labels to sort by, in the order of their rows, and the paths of those that have vanished.

    `moved` has the present paths of those that were moved by an earlier run. `notices` counts those that are left out.
    Raises `InputNotFound` if none of the images is there.
    """
    photos: list[Photo] = []
    gone: list[str] = []
    seen: set[object] = set()
    for row, item in output:
        image = os.path.abspath(str(item.reference.path)) if item.reference.kind == "file" else item.reference
        if image in seen:
            notices.add(TWICE, row.path)
            continue
        seen.add(image)
        labelled = _labels(row, output, options, notices)
        if not labelled:
            continue
        path = _present(item, row.path, output.file, moved)
        if path is None:
            gone.append(row.path)
            continue
        labels = tuple(output.path_of(label) for label, _ in labelled)
        photos.append(Photo(item, path, labels, tuple(score for _, score in labelled)))
    output.note_gone(gone, notices, others=bool(photos))
    return photos, tuple(gone)


def _labels(row: Row, output: Labelled, options: SortSettings, notices: Notices) -> list[tuple[str, float]]:
    """The labels that a row is sorted by, with their scores."""
    found = output.best(row, top_k=options.top_k, min_score=options.min_score)
    if not row.labels:
        notices.add(NO_LABEL if row.error is None else ERROR, row.path)
    elif not found:
        notices.add(BELOW, row.path)
    return found


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


def note_outside(photos: Sequence[Photo], output: Labelled, notices: Notices) -> None:
    """Count the images that lie neither in the folder of the output nor below, by the folders that they are in."""
    inside = os.path.join(os.path.dirname(os.path.abspath(output.file)), "")
    for photo in photos:
        path = os.path.abspath(str(photo.item.reference.path))
        if not path.startswith(inside):
            notices.add(OUTSIDE, photo.item.id, kind=f"in {os.path.dirname(path)}")


def note_changes(photos: Sequence[Photo], output: Labelled, notices: Notices) -> None:
    """Count the images that have changed since they were labelled, and those of which only their time tells.

    A content of which the cache has an embedding of the same model is known by its hash or, where the system keeps it,
    by the time at which anything about the file last changed, which no tool sets back.
    """
    older = []
    for photo in photos:
        if output.is_changed(photo.path):
            notices.add(CHANGED, photo.item.id)
        elif not photo.was_moved:
            older.append(photo)
    for photo, as_it_was in zip(older, _as_embedded(older, output), strict=True):
        if as_it_was is False:
            notices.add(CHANGED, photo.item.id)
        elif as_it_was is None:
            notices.add(BY_TIME, photo.item.id)


def _as_embedded(photos: Sequence[Photo], output: Labelled) -> Iterator[bool | None]:
    """For each image: if its content is the one that the model saw; `None` where the cache does not know."""
    manifest = output.manifest
    memory = open_memory(cache=manifest is not None and manifest.model is not None)
    if not memory or manifest is None or manifest.model is None:
        return iter([None] * len(photos))
    from clipcli.memory.images import ImageStore

    settings = manifest.provenance.settings
    made_with = tuple(str(settings.get(name)) for name in ("decode", "color", "engine"))
    store = ImageStore(memory, manifest.model, made_with=made_with, verify=False)
    return store.as_they_were([photo.item for photo in photos])


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
