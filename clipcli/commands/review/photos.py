"""The photos to review: the rows of an output, the labels that they may have, and what each row says."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clipcli.data.images import list_images
from clipcli.errors import BadFile, UsageError
from clipcli.files.manifest import Manifest, read_manifest
from clipcli.notices import Notice, Notices
from clipcli.outputs.read import read_rows
from clipcli.records import PERSON, ImageItem, Row, lead_of
from clipcli.scoring.kinds import THRESHOLD

_NO_LABEL = Notice(
    "row has an error in place of a label",
    "rows have an error in place of a label",
    "there is nothing to review in it, and it was left out",
    warns=False,
)
_TWICE = Notice("row is of a photo again", "rows are of photos again", "it was left out; a photo is reviewed once")
_NO_MANIFEST = Notice(
    "output has no manifest, which names the labels",
    "outputs have no manifest, which names the labels",
    "the labels to choose from are those that its rows have",
)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo with its row. `said` are the labels that the row gives it, none if it is of none of the classes.

    `lead` says how sure that is: the less, the more doubtful. `keys` are the labels to offer first.
    """

    row: Row
    item: ImageItem
    said: tuple[str, ...]
    lead: float
    keys: tuple[str, ...] = ()

    @property
    def is_by_person(self) -> bool:
        """True if a person gave its labels before, which are in the row."""
        return self.row.source == PERSON


def names_by_place(photos: Iterable[Photo]) -> dict[str, str]:
    """How the rows call photos, by the absolute path of each."""
    files = ((photo.row.path, photo.item.reference) for photo in photos)
    return {os.path.abspath(at.path): path for path, at in files if at.kind == "file" and at.path}


@dataclass(frozen=True, slots=True)
class Rows:
    """The photos of an output in its order, and the labels to choose from, each with the groups that it is in.

    `unknown` is the label of photos of none of the classes. With `several` a photo has any number of labels.
    """

    photos: tuple[Photo, ...]
    labels: Mapping[str, tuple[str, ...]]
    unknown: str | None
    several: bool
    manifest: Manifest | None


def read_photos(predictions: str, notices: Notices) -> Rows:
    """The photos of an output; `notices` counts rows that are left out.

    Raises `BadFile` if it is no output of `classify`, `InputNotFound` if it cannot be read, and `UsageError` if no row
    has a label.
    """
    schema, read = read_rows(predictions)
    rows = list(read)
    manifest = read_manifest(Path(predictions).resolve())
    settings = {} if manifest is None else manifest.provenance.settings
    unknown = settings.get("unknown_label") if settings.get("unknown") else None
    # With unknown images the second score is of another kind than the first.
    lead = _lead_of_several(settings) if schema.several else _score if unknown else lead_of
    items = list_images([predictions], image_column="path", notices=notices) if rows else []
    if len(items) != len(rows):
        raise BadFile(
            f"{predictions} has {len(rows):,} rows and {len(items):,} images; give an output as it was written"
        )
    photos: dict[str, Photo] = {}
    for row, item in zip(rows, items, strict=True):
        if row.error is not None:
            notices.add(_NO_LABEL, row.path, kind=row.error)
        elif row.path in photos:
            notices.add(_TWICE, row.path)
        else:
            said = row.labels if schema.several else tuple(label for label in row.labels[:1] if label != unknown)
            # A person's label has no score that says how sure it is.
            photos[row.path] = Photo(row, item, said, math.inf if row.source == PERSON else lead(row))
    if not photos:
        raise UsageError(f"{predictions} has no row with a label to review; label photos with clipcli classify")
    if manifest is None:
        notices.add(_NO_MANIFEST, predictions)
    labels = _labels(manifest, photos.values(), unknown=unknown)
    return Rows(tuple(photos.values()), labels, unknown, schema.several, manifest)


def with_labels_of(rows: Rows, labels: Iterable[str]) -> Rows:
    """The same with further labels to choose from, as of corrections."""
    return replace(rows, labels=dict(rows.labels) | {label: () for label in labels if label not in rows.labels})


def _labels(manifest: Manifest | None, photos: Iterable[Photo], *, unknown: str | None) -> dict[str, tuple[str, ...]]:
    """The labels to choose from, by the manifest and then as rows have them."""
    classes: Sequence[Mapping[str, Any]] = () if manifest is None else manifest.provenance.classes
    labels = {str(one["label"]): tuple(one.get("groups") or ()) for one in classes}
    for photo in photos:
        for label in photo.row.labels:
            if label != unknown:
                labels.setdefault(label, ())
    return labels


def _score(row: Row) -> float:
    return row.scores[0]


def _lead_of_several(settings: Mapping[str, Any]) -> Any:
    """How far the score that is nearest to the threshold is from it; a photo without a label is in doubt."""
    at = settings.get("multi_label_at")
    threshold = THRESHOLD if at is None else at

    def lead(row: Row) -> float:
        return min((abs(score - threshold) for score in row.all_scores or row.scores), default=0.0)

    return lead
