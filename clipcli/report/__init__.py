"""Reports: pages of numbers, tables and figures that open anywhere, offline, in a light or a dark room."""

from __future__ import annotations

from clipcli.report.page import Code, Figures, Gallery, Headline, Number, Page, Section, Table, Thumbnail, write_page

__all__ = [
    "Code",
    "Figures",
    "Gallery",
    "Headline",
    "Number",
    "Page",
    "Section",
    "Table",
    "Thumbnail",
    "write_page",
]
