"""What a report holds, and the one file of HTML that it becomes.

Names come from other people's folders, so every text is escaped, and the page forbids itself scripts and requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import ClassVar

from clipcli.errors import OutputFailed
from clipcli.files.atomic import part_of, put_in_place


@dataclass(frozen=True, slots=True)
class Number:
    """One large number, written as it should be read; the note is small, such as an interval or a change."""

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
class Charts:
    """Charts side by side, each an SVG of `clipcli.report`; any other text is shown as text.

    `wide` ones lie below each other, as wide as the page lets them.
    """

    kind: ClassVar[str] = "charts"
    heading: str
    charts: Sequence[str]
    note: str | None = None
    wide: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of cells written as they should be read, empty where they are `None`.

    The first `text_columns` columns hold text and the others numbers, which are set to the right; `marked` is the
    index of the row that stands out.
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
    """Text that keeps its lines and spaces."""

    kind: ClassVar[str] = "code"
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small image, as a `data:image/…` URI, and what is said about it."""

    image: str
    caption: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Thumbnails side by side."""

    kind: ClassVar[str] = "gallery"
    heading: str
    thumbnails: Sequence[Thumbnail]
    note: str | None = None


Section = Headline | Charts | Table | Code | Gallery


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report, its sections in order."""

    title: str
    subtitle: str
    sections: Sequence[Section]


def write_page(path: Path, page: Page) -> None:
    """Write the page as one HTML file that needs nothing beside it; the same page gives the same bytes.

    Raises `OutputFailed`.
    """
    # A name that is not UTF-8 came in as lone surrogates: they are shown as escapes, for no browser can show them.
    html = _render(page).encode("utf-8", errors="backslashreplace")
    target = path.resolve()
    part = part_of(target)
    try:
        try:
            part.write_bytes(html)
            put_in_place(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as e:
        raise OutputFailed(f"cannot write the report {path}: {e.strerror}; free some space or choose another") from None


def _render(page: Page) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = resources.files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page)
