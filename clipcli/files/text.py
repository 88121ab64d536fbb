"""Reads the text of a user's file in the encoding it was saved in: UTF-8, UTF-16 with its mark, or Windows-1252."""

from __future__ import annotations

import codecs

from clipcli.errors import BadFile
from clipcli.notices import Notice, Notices

NOT_UTF8 = Notice(
    "file is not UTF-8",
    "files are not UTF-8",
    "it was read as Windows-1252; save it as UTF-8 if its letters come out wrong",
)
_GUESS = "cp1252"
# UTF-32's mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def decoded(data: bytes, *, name: str, notices: Notices) -> str:
    """The text of a file called `name`; an encoding that was guessed is counted. Raises `BadFile` if it is no text."""
    stated = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    if stated is None and b"\0" in data:
        raise BadFile(f"{name} is no text file; save it as text, in Excel as 'CSV UTF-8'")
    try:
        return data.decode(stated or "utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
    try:
        text = data.decode(stated or _GUESS)
    except UnicodeDecodeError:
        raise BadFile(f"{name} line {line}: not UTF-8; save the file as UTF-8") from None
    notices.add(NOT_UTF8, f"{name} (line {line})")
    return text
