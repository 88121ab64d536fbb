"""Progress of work on many images, photos or files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImagesEmbedded:
    """Progress of image embeddings: `done` of `total` images, including those that cannot be read."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ImagesCompared:
    """Progress of comparing all images with each other: `done` of `total` are compared with all that come after."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ImagesGathered:
    """Progress of images that are embedded all before the first row: `done` of `total`."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ThumbnailsMade:
    """Progress of a page: `done` of the `total` thumbnails that it shows."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PageServed:
    """A page is served on this machine at an address."""

    url: str


@dataclass(frozen=True, slots=True)
class PhotosReviewed:
    """Progress of a review: what a person said about `done` of `total` photos is on disk."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ProbeFitted:
    """A linear probe was fitted: `done` of `total`. It had `shots` images per class, or all of them if `None`."""

    done: int
    total: int
    shots: int | None


@dataclass(frozen=True, slots=True)
class FilesActedOn:
    """Progress of what acts on files: steps `done` of `total`."""

    done: int
    total: int
