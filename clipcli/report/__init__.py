"""Reports: single HTML files of numbers, tables and charts that open in any browser, offline."""

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
