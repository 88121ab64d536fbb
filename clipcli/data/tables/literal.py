"""Splits tables of text that is not quoted, such as `.tsv`: a quote is a character like others, unless it is a mark.

A field is taken literally, except:

- a field that begins and ends with a quote, with inner quotes doubled, is without them, as CSV writes it;
- in such quotes a field may hold tabs, if its row has otherwise more fields than the header;
- in such quotes a field may hold line ends but no tab, if its row then has as many fields as the header.

So a caption that begins with a quote can take no other row into it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

from clipcli.data.tables.lines import Record

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
# A field goes over no more lines than this.
_MOST_LINES = 100


def literal_records(lines: Iterator[str], mark: str) -> Iterator[Record]:
    """The records of lines with fields separated by `mark`, the header first; blank lines are left out."""
    splitter = re.compile(
        rf'(?:^|{re.escape(mark)})(?:"((?:[^"]|"")*)"(?={re.escape(mark)}|$)|([^{re.escape(mark)}]*))'
    )
    ahead: deque[str] = deque()
    number, width = 1, 0
    while (line := _next(lines, ahead)) is not None:
        fields, used, joined = line.split(mark), 1, False
        if width and fields[-1].startswith('"') and not _QUOTED.fullmatch(fields[-1]):
            whole = _over_lines(fields, lines, ahead, mark)
            if whole is not None and len(whole[0]) == width:
                (fields, used), joined = whole, True
        elif 0 < width < len(fields):
            in_quotes = [found[2] if found[1] is None else f'"{found[1]}"' for found in splitter.finditer(line)]
            if len(in_quotes) == width:
                fields, joined = in_quotes, True
        if line.strip():
            width = width or len(fields)
            yield Record(number, [_unquoted(field) for field in fields], joined=joined)
        for _ in range(used - 1):
            ahead.popleft()
        number += used


def _next(lines: Iterator[str], ahead: deque[str]) -> str | None:
    if ahead:
        return ahead.popleft()
    line = next(lines, None)
    return None if line is None else line.rstrip("\r\n")


def _over_lines(fields: list[str], lines: Iterator[str], ahead: deque[str], mark: str) -> tuple[list[str], int] | None:
    """The fields of a row whose last field goes on in the next lines, and the number of its lines.

    `None` if no line without a tab before it closes the quote.
    """
    text = fields[-1]
    for n in range(_MOST_LINES):
        if n == len(ahead):
            line = next(lines, None)
            if line is None:
                return None
            ahead.append(line.rstrip("\r\n"))
        start, *others = ahead[n].split(mark)
        text += f"\n{start}"
        if _QUOTED.fullmatch(text):
            return [*fields[:-1], text, *others], n + 2
        if others:
            return None
    return None


def _unquoted(field: str) -> str:
    found = _QUOTED.fullmatch(field)
    return field if found is None else found[1].replace('""', '"')
