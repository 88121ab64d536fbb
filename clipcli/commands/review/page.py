"""The page of a review: what it shows, as its script reads it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipcli.commands.review.decisions import Said
from clipcli.commands.review.photos import Photo
from clipcli.commands.review.run import Review
from clipcli.events import ThumbnailsMade
from clipcli.images.thumbnail import thumbnails
from clipcli.outputs.check import check_page
from clipcli.outputs.text import writable
from clipcli.report import is_page
from clipcli.report.review import review_page, write_review
from clipcli.scoring.schema import rounded

# The longer side of the pictures, in pixels: in the grid, seen by itself, and in a page without a server.
SMALL, LARGE, _IN_A_FILE = 256, 1280, 384


def check_html(path: str, reads: Sequence[object]) -> None:
    """Check the page's file before any work is done; a page that was written before is replaced.

    Raises `UsageError`, `OutputExists` and `OutputFailed`.
    """
    check_page(path, reads, overwrite=is_page(Path(path)), flag="--html")


def page_of(review: Review, said: Mapping[int, Said], *, output: str) -> str:
    """The page, which asks the server for pictures and tells it decisions."""
    return review_page(_content(review, said, output=output, served=True))


def write_html(review: Review, path: str) -> Generator[ThumbnailsMade, None, None]:
    """Write the page as one file, with the pictures in it. Raises `OutputFailed`."""
    pictures: list[str | None] = []
    for picture in thumbnails([photo.item for photo in review.photos], side=_IN_A_FILE, limits=review.limits):
        pictures.append(picture)
        yield ThumbnailsMade(len(pictures), len(review.photos))
    content = _content(review, review.said, output="corrections.csv", served=False)
    for photo, picture in zip(content["photos"], pictures, strict=True):
        photo["picture"] = picture
    write_review(Path(path), content)


def _content(review: Review, said: Mapping[int, Said], *, output: str, served: bool) -> dict[str, Any]:
    number = {label: n for n, label in enumerate(review.labels)}
    return {
        "served": served,
        "predictions": review.predictions,
        "output": output,
        "several": review.several,
        "unknown": review.unknown,
        "total": review.total,
        "labels": [[label, list(groups)] for label, groups in review.labels.items()],
        "photos": [_photo(photo, number) for photo in review.photos],
        "drawn": list(review.drawn),
        "alike": [list(group) for group in review.alike],
        "said": {n: [number[label] for label in found] for n, found in said.items()},
    }


def _photo(photo: Photo, number: Mapping[str, int]) -> dict[str, Any]:
    """A photo, with labels by number; one that is no class, as that of unknown photos, is `null`."""
    row = photo.row
    return {
        "path": writable(row.path),
        "said": [number[label] for label in photo.said],
        "scores": [[number.get(label), rounded(score)] for label, score in zip(row.labels, row.scores, strict=True)],
        "keys": [number[label] for label in photo.keys],
        "within": row.label_path,
    }
