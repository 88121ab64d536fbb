"""The sections of a report, and how they are written as one HTML file.

Labels and file names are not to be trusted, so every text is escaped, and a content security policy forbids scripts and
requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import ClassVar

from clipcli.errors import OutputFailed
from clipcli.files.atomic import write_text


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
class Charts:
    """Charts side by side, as `Markup` from `line_charts` or `accuracy_charts`; any other string is shown as text.

    With `wide` each chart has a row of its own and is as wide as the page allows.
    """

    kind: ClassVar[str] = "charts"
    heading: str
    charts: Sequence[str]
    note: str | None = None
    wide: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of cells formatted by the caller; `None` is an empty cell.

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
    """A small image, as a `data:image/…` URI, with its caption."""

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
    """Write the page as one self-contained HTML file, atomically. The same page gives the same bytes.

    Raises `OutputFailed`.
    """
    # A file name that is not UTF-8 holds lone surrogates, which no browser can show: they become escapes.
    try:
        write_text(path, _render(page), errors="backslashreplace")
    except OSError as e:
        raise OutputFailed(f"cannot write the report {path}: {e.strerror}; free some space or choose another") from None


def _render(page: Page) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = resources.files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(page=page)
