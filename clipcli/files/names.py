"""Names as UTF-8 text: the one way in which outputs write bytes that are not UTF-8, and read them back.

A byte of a name that is not UTF-8 is written as the six characters `\\udcXX`, which JSON has as an escape of its own.
Where a name has such characters itself, the backslash before them is written as `\\udc5c`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from clipcli.notices import Notice, Notices

NOT_UTF8 = Notice(
    "name is not UTF-8",
    "names are not UTF-8",
    r"such a byte is written as \udcXX in Parquet and JSON, and as it is in CSV; clipcli reads it back",
    warns=False,
)
_BACKSLASH = r"\udc5c"
_LIKE_A_SURROGATE = re.compile(r"\\(?=ud[89a-f][0-9a-f]{2})")
_SURROGATE = re.compile(r"\\(ud[89a-f][0-9a-f]{2})")


def plain(name: str) -> str:
    """A name as text that UTF-8 can hold, the same in all formats; `original` turns it back."""
    if "\\ud" in name:
        name = _LIKE_A_SURROGATE.sub(lambda _: _BACKSLASH, name)
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def original(text: str) -> str:
    """The name that `plain` wrote as this text."""
    if "\\ud" not in text:
        return text
    return _SURROGATE.sub(lambda found: "\\" if found[0] == _BACKSLASH else chr(int(found[1][1:], 16)), text)


def note_names(names: Iterable[str], notices: Notices) -> None:
    """Count the names that are not UTF-8."""
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            notices.add(NOT_UTF8, plain(name))
