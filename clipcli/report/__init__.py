"""Reports: pages of numbers, tables and figures that open anywhere, offline, in a light or a dark room."""

from __future__ import annotations

from clipcli.report.page import Charts, Code, Gallery, Headline, Number, Page, Section, Table, Thumbnail, write_page

__all__ = [
    "Charts",
    "Code",
    "Gallery",
    "Headline",
    "Number",
    "Page",
    "Section",
    "Table",
    "Thumbnail",
    "write_page",
]
