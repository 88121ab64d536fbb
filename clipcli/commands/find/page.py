"""The page of what was found: small pictures with their scores, or groups of duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from clipcli.commands.find.duplicates import Photo
from clipcli.commands.find.run import Finding
from clipcli.commands.find.settings import FindSettings
from clipcli.commands.find.words import told
from clipcli.events import ThumbnailsMade
from clipcli.images.limits import limits_of
from clipcli.images.thumbnail import thumbnails
from clipcli.records import ImageItem
from clipcli.report import Gallery, Group, Page, Section, Thumbnail, Verdict, write_page

# The longer side of a thumbnail, in pixels.
_THUMBNAIL = 192


def write_found(path: str, finding: Finding, options: FindSettings) -> Iterator[ThumbnailsMade]:
    """Make the thumbnails and write the page. Raises `OutputFailed`."""
    items = [hit.item for hit in finding.hits] + [photo.item for same in finding.groups for photo in same.photos]
    pictures: list[str | None] = []
    for picture in thumbnails(items, side=_THUMBNAIL, limits=limits_of(options)):
        pictures.append(picture)
        yield ThumbnailsMade(len(pictures), len(items))
    title = "Photos that are there twice" if options.duplicates else sought(options)
    sections: list[Section] = [Verdict([told(finding, duplicates=options.duplicates)]), _gallery(finding, pictures)]
    write_page(Path(path), Page(title, f"By {finding.model}.", sections))


def sought(options: FindSettings) -> str:
    """What is looked for, in words."""
    text = [] if options.text is None else [options.text]
    like = [f"like {_name(one)}" for one in options.like]
    return ", ".join([*text, *like, *(f"not {one}" for one in options.without)])


def caption(photo: Photo) -> str:
    """The size of a duplicate, and of what it is a copy."""
    copy = "" if photo.copy_of is None else f"; a copy of {photo.copy_of}"
    return f"{photo.width} × {photo.height}, {photo.size:,} bytes{copy}"


def _gallery(finding: Finding, pictures: Sequence[str | None]) -> Gallery:
    coming = iter(pictures)
    if finding.groups:
        groups = [
            Group([Thumbnail(next(coming), caption(photo), photo.path) for photo in same.photos], f"Group {n}")
            for n, same in enumerate(finding.groups, 1)
        ]
        return Gallery("Groups", groups, "The best of each group comes first.")
    shown = [Thumbnail(next(coming), f"{hit.score:.3f}", hit.path, hit.score) for hit in finding.hits]
    return Gallery("Photos", [Group(shown)] if shown else [], "The best come first.")


def _name(one: str | ImageItem) -> str:
    return one.id if isinstance(one, ImageItem) else one
