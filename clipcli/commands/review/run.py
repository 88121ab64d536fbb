"""Prepares a review: reads the rows, orders the photos, and reads what was decided before."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.review.alike import groups_alike, likely_labels
from clipcli.commands.review.decisions import Said
from clipcli.commands.review.embeddings import stored_embeddings
from clipcli.commands.review.order import doubtful_first, draw, with_drawn
from clipcli.commands.review.photos import Photo, Rows, names_by_place, read_photos, with_labels_of
from clipcli.commands.review.settings import PHOTOS_IN_A_FILE, ReviewFile, ReviewSettings
from clipcli.errors import BadFile, ClipcliError, InputNotFound
from clipcli.events import Event, Noted, Warned
from clipcli.files.manifest import Manifest
from clipcli.images.decode import DEFAULT_LIMITS, prepare_pillow
from clipcli.images.isolate import check_workers
from clipcli.images.kinds import TRUNCATED
from clipcli.images.limits import Limits, limits_of
from clipcli.notices import Notices
from clipcli.outputs.check import CORRECTIONS, check_is_not_read, check_suffix
from clipcli.outputs.correction import Corrections
from clipcli.outputs.corrections import read_corrections

# The keys from 1 to 0 that labels have.
KEYS = 10


@dataclass(frozen=True, slots=True)
class Review:
    """The photos in the order of review.

    `drawn` are the numbers of those that come at random, in their order, and `alike` those of photos that look alike.
    `labels` are those to choose from, with their groups. `said` is what was said about photos before, by number, and
    `total` the number of all photos of the output. `corrections` are files that were read and are not written. `limits`
    are those of decoding the photos.
    """

    predictions: str
    photos: tuple[Photo, ...]
    drawn: tuple[int, ...]
    alike: tuple[tuple[int, ...], ...]
    labels: Mapping[str, tuple[str, ...]]
    unknown: str | None
    several: bool
    said: Mapping[int, Said]
    total: int
    corrections: tuple[str, ...] = ()
    limits: Limits = DEFAULT_LIMITS


def prepare(options: ReviewSettings, file: ReviewFile) -> Generator[Event, None, Review]:
    """Read the rows and what was decided before, and order the photos.

    Raises as `read_photos` and `read_corrections`, `UsageError` if the output is a file that is read, and
    `ClipcliError` if workers are asked for and cannot be started.
    """
    check_suffix(file.output, CORRECTIONS)
    check_is_not_read(file.output, [options.predictions])
    prepare_pillow()
    notices = Notices()
    rows = read_photos(options.predictions, notices)
    files = _files(options, file)
    before = read_corrections(files, notices).as_called(names_by_place(rows.photos), notices)
    yield from notices.events()
    yield from _about(before, rows, options.predictions)
    if file.html is not None:
        yield from map(Warned, _vanished(rows, options.predictions))
    given = [label for correction in before.standing for label in correction.labels]
    rows = with_labels_of(rows, given)
    if not rows.several and any(len(correction.labels) > 1 for correction in before.standing):
        raise BadFile(
            "the corrections have several labels for a photo, and the rows one; give corrections of one label"
        )
    embeddings = stored_embeddings([photo.item for photo in rows.photos], rows.manifest)
    yield from map(Noted, _without_embeddings(embeddings, len(rows.photos)))
    most = options.max_images or (PHOTOS_IN_A_FILE if file.html else None)
    review = _ordered(rows, embeddings, options)
    place = {photo.row.path: n for n, photo in enumerate(review.photos)}
    known = {n: photo.said for n, photo in enumerate(review.photos) if photo.is_by_person}
    known |= {place[path]: correction.labels for path, correction in before.by_path.items() if path in place}
    others = tuple(name for name in files if name != file.output)
    limits = yield from _limits(options, rows.manifest)
    review = replace(review, said=known, corrections=others, limits=limits)
    return review if most is None else _first(review, most)


def _limits(options: ReviewSettings, manifest: Manifest | None) -> Generator[Event, None, Limits]:
    """The limits of decoding: what is not given is as the photos were labelled, so also whether it is in workers.

    Raises `ClipcliError` where workers are asked for and cannot be started. If it is only the photos that were labelled
    in some, a warning says so.
    """
    before: Mapping[str, object] = {} if manifest is None else manifest.provenance.settings
    asked, limits = limits_of(options), limits_of(_as_labelled(options, before))
    if not limits.isolate:
        return limits
    try:
        check_workers(limits)
    except ClipcliError as e:
        if asked.isolate:
            raise
        why = str(e).partition(";")[0]
        yield Warned(f"the photos were labelled in worker processes, and are decoded in this one: {why}")
        return replace(limits, isolate=False)
    return limits


def _as_labelled(options: ReviewSettings, before: Mapping[str, object]) -> ReviewSettings:
    """The settings, with what those of the labelling say of decoding where they say nothing."""
    pixels, memory = (_number(before.get(name)) for name in ("max_pixels", "decode_memory"))
    seconds, truncated = before.get("decode_timeout"), str(before.get("truncated"))
    return replace(
        options,
        max_pixels=options.max_pixels or pixels,
        decode_timeout=options.decode_timeout or (seconds if isinstance(seconds, int | float) else None),
        decode_memory=options.decode_memory or memory,
        truncated=truncated if truncated in TRUNCATED and options.truncated == "error" else options.truncated,
        isolate=options.isolate or bool(before.get("isolate") or before.get("untrusted")),
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _files(options: ReviewSettings, file: ReviewFile) -> list[str]:
    """The files of corrections that are read: those given, and the one that is gone on with."""
    files = list(options.corrections)
    if file.html is None and os.path.isfile(file.output):
        files = [name for name in files if not (os.path.exists(name) and os.path.samefile(name, file.output))]
        files.append(file.output)
    return files


def _about(before: Corrections, rows: Rows, predictions: str) -> Iterator[Event]:
    """What is to be said of corrections that were made before."""
    if before.conflicts:
        count = len(before.conflicts)
        photos = "photo has" if count == 1 else "photos have"
        yield Warned(f"{count:,} {photos} different labels in the files of corrections; the latest review counts:")
        yield from (Noted(f"  {conflict.in_words()}") for conflict in before.conflicts)
    paths = {photo.row.path for photo in rows.photos}
    others = [path for path in before.by_path if path not in paths]
    if others:
        are = "correction is of a photo" if len(others) == 1 else "corrections are of photos"
        yield Warned(f"{len(others):,} {are} that {predictions} has no label for, such as {others[0]}: left alone")


def _vanished(rows: Rows, predictions: str) -> Iterator[str]:
    """What is to be said of photos whose files are gone. Raises `InputNotFound` if all are."""
    files = [(photo.row.path, photo.item.reference) for photo in rows.photos]
    gone = [path for path, at in files if at.kind == "file" and not os.path.exists(at.path or "")]
    if gone and len(gone) == len(files):
        raise InputNotFound(
            f"none of the {len(gone):,} photos is there, such as {gone[0]}; run this in the folder that clipcli"
            f" classify ran in, or if they were moved, bring {predictions} up to date with clipcli classify --update"
        )
    if gone:
        are = "photo is" if len(gone) == 1 else "photos are"
        yield f"{len(gone):,} {are} no longer there, such as {gone[0]}: shown without a picture"


def _without_embeddings(embeddings: NDArray[np.float32] | None, count: int) -> Iterator[str]:
    """What is to be said where the cache has not the embeddings of all photos."""
    without = count if embeddings is None else int((~embeddings.any(axis=1)).sum())
    if without:
        which = "the photos" if without == count else f"{without:,} of {count:,} photos"
        yield f"The cache has no embeddings of {which}: they are spread by labels alone, with no look-alikes."


def _ordered(rows: Rows, embeddings: NDArray[np.float32] | None, options: ReviewSettings) -> Review:
    """The photos in the order of review, with the labels to offer for each."""
    photos = rows.photos
    number: dict[Said, int] = {}
    kinds = np.array([number.setdefault(photo.said, len(number)) for photo in photos], dtype=np.intp)
    drawn = draw(len(photos), most=options.random)
    order = with_drawn(doubtful_first([photo.lead for photo in photos], kinds, embeddings), drawn)
    alike = [] if embeddings is None else groups_alike(order, kinds, embeddings, apart=drawn)
    likely, saids = likely_labels(kinds, embeddings, count=KEYS), list(number)
    place = {n: at for at, n in enumerate(order)}
    return Review(
        predictions=options.predictions,
        photos=tuple(replace(photos[n], keys=_keys(photos[n], [saids[k] for k in likely[n]], rows)) for n in order),
        drawn=tuple(place[n] for n in drawn),
        alike=tuple(tuple(place[n] for n in group) for group in alike),
        labels=rows.labels,
        unknown=rows.unknown,
        several=rows.several,
        said={},
        total=len(photos),
    )


def _keys(photo: Photo, likely: Sequence[Said], rows: Rows) -> tuple[str, ...]:
    """The labels with a key: all where they are few, so that each has its own; else those that are likely."""
    if len(rows.labels) <= KEYS:
        return tuple(rows.labels)
    of_row = [label for label in photo.row.labels if label != rows.unknown]
    return tuple(dict.fromkeys([*of_row, *(label for said in likely for label in said)]))[:KEYS]


def _first(review: Review, most: int) -> Review:
    """The review of the first photos alone."""
    return replace(
        review,
        photos=review.photos[:most],
        drawn=tuple(n for n in review.drawn if n < most),
        alike=tuple(group for group in review.alike if all(n < most for n in group)),
        said={n: labels for n, labels in review.said.items() if n < most},
    )
