"""Reports: single HTML files of numbers, tables, charts and pictures that open in any browser, offline."""

from __future__ import annotations

from clipcli.report.page import (
    Bar,
    Charts,
    Code,
    Gallery,
    Group,
    Headline,
    Number,
    Page,
    Section,
    Table,
    Thumbnail,
    Verdict,
    is_page,
    write_page,
)

__all__ = [
    "Bar",
    "Charts",
    "Code",
    "Gallery",
    "Group",
    "Headline",
    "Number",
    "Page",
    "Section",
    "Table",
    "Thumbnail",
    "Verdict",
    "is_page",
    "write_page",
]
