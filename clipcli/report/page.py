"""The sections of a report, and how they are written as one HTML file.

Labels and file names are not to be trusted, so every text is escaped, and a content security policy forbids requests,
and all scripts but the page's own, which sorts tables and filters galleries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from clipcli.report.render import rendered, write_html


@dataclass(frozen=True, slots=True)
class Number:
    """A large number with its label, formatted by the caller, and a small note such as an interval or a change."""

    label: str
    value: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Headline:
    """A row of large numbers."""

    kind: ClassVar[str] = "headline"
    numbers: Sequence[Number]
    heading: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result in one or two sentences, in large letters; with `bad` the first is in red."""

    kind: ClassVar[str] = "verdict"
    sentences: Sequence[str]
    bad: bool = field(default=False, kw_only=True)
    heading: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class Charts:
    """Charts side by side, as `Markup` from another module of this package; any other string is shown as text.

    With `large` two charts stand beside each other only where the page is wide.
    """

    kind: ClassVar[str] = "charts"
    heading: str
    charts: Sequence[str]
    note: str | None = None
    large: bool = field(default=False, kw_only=True)


class Bar(str):
    """A cell of a table with a bar under its text, of a `share` from 0 to 1 of the cell's width."""

    share: float

    def __new__(cls, text: str, share: float) -> Bar:
        """A cell of this text."""
        cell = super().__new__(cls, text)
        cell.share = share
        return cell


@dataclass(frozen=True, slots=True)
class Table:
    """A table of cells formatted by the caller; `None` is an empty cell. A click on a column sorts by it.

    The first `text_columns` columns are aligned left, as text, the others right, as numbers. `marked` is the index of a
    row to highlight.
    """

    kind: ClassVar[str] = "table"
    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    note: str | None = None
    text_columns: int = field(default=1, kw_only=True)
    marked: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Code:
    """Preformatted text, such as a configuration."""

    kind: ClassVar[str] = "code"
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small image as a `data:image/…` URI, or `None` where there is none, with a caption and its `source`, a path.

    Galleries are filtered by `score`.
    """

    image: str | None
    caption: str
    source: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Thumbnails that belong together, under a name."""

    thumbnails: Sequence[Thumbnail]
    name: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Thumbnails side by side, in groups; with `filtered` they can be filtered by group, score and path."""

    kind: ClassVar[str] = "gallery"
    heading: str
    groups: Sequence[Group]
    note: str | None = None
    filtered: bool = field(default=False, kw_only=True)


Section = Verdict | Headline | Charts | Table | Code | Gallery


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report, its sections in order."""

    title: str
    subtitle: str
    sections: Sequence[Section]


def write_page(path: Path, page: Page) -> None:
    """Write the page as one self-contained HTML file, atomically. The same page gives the same bytes.

    Raises `OutputFailed`.
    """
    html = rendered("page.html.j2", styles=["page.css"], scripts=["page.js"], page=page)
    write_html(path, html)


def is_page(path: Path) -> bool:
    """True if the file is a page that `write_page` has written."""
    try:
        with open(path, "rb") as file:
            return b'name="generator" content="clipcli"' in file.read(2000)
    except OSError:
        return False
