"""Reads captions from `.txt`, `.caption` and `.json` files and from the cells of tables."""

from __future__ import annotations

import ast
import io
import os
import re
from collections.abc import Callable, Mapping

from clipcli.errors import one_line
from clipcli.notices import Notice, Notices
from clipcli.parsed import json_of
from clipcli.records import Reference

LISTED = Notice(
    "cell holds a list of captions as text", "cells hold lists of captions as text", "each is a caption", warns=False
)
# The class and the box of an object in the label files of YOLO, such as `0 0.51 0.43 0.2 0.3`.
_BOX = re.compile(r"\d+(?:\s+-?\d*\.?\d+){4,}$")
CAPTION_KEYS = ("caption", "captions", "text", "texts", "description")


class Uncaptioned(ValueError):
    """No caption was found; the message is the reason, in a few words."""


def caption_suffix(name: str) -> str | None:
    """The suffix of a caption file, in lower case; `None` if this is not a caption file."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if suffix in CAPTION_SUFFIXES else None


def captions_beside(texts: Mapping[str, Reference], *, read: Callable[[Reference], bytes]) -> tuple[str, ...]:
    """The captions of an image, from the caption files beside it, which `texts` has by suffix.

    If there are several files, the first suffix in `CAPTION_SUFFIXES` counts. Raises `Uncaptioned` if the file is
    missing, unreadable, not UTF-8, or has no caption.
    """
    suffix = next((suffix for suffix in CAPTION_SUFFIXES if suffix in texts), None)
    if suffix is None:
        raise Uncaptioned("no caption")
    try:
        data = read(texts[suffix])
    # A zip raises nearly anything on a damaged or encrypted file, and one bad caption must never stop a run.
    except Exception as e:
        raise Uncaptioned(f"cannot read its {suffix}: {one_line(e)}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Uncaptioned("caption is not UTF-8") from None
    return cleaned(CAPTION_SUFFIXES[suffix](text))


def captions_in(cell: object, where: str, notices: Notices) -> tuple[str, ...]:
    """The captions in a cell of a table, or in the cells of several columns: texts, or lists of texts.

    A list may be written as text, in JSON or as Python writes it. Raises `Uncaptioned` as `cleaned`.
    """
    found: list[object] = []
    for value in cell if isinstance(cell, list | tuple) else [cell]:
        listed = _listed(value) if isinstance(value, str) and value.lstrip().startswith("[") else None
        if listed is not None:
            notices.add(LISTED, where)
        found += [value] if listed is None else listed
    return cleaned(found)


def cleaned(value: object) -> tuple[str, ...]:
    """A caption or a list of captions, stripped, without blank ones.

    Raises `Uncaptioned` if none is left, or one is not text or not UTF-8.
    """
    texts = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    captions: list[str] = []
    for text in texts:
        if text is not None and not isinstance(text, str):
            raise Uncaptioned("caption is not text")
        if text and text.strip():
            captions.append(text.strip())
    if any(not is_utf8(caption) for caption in captions):
        raise Uncaptioned("caption is not UTF-8")
    if any(map(_BOX.match, captions)):
        raise Uncaptioned("caption is a row of numbers, as of a box")
    if not captions:
        raise Uncaptioned("no caption")
    return tuple(captions)


def is_utf8(text: str) -> bool:
    """True if the text was decoded from proper UTF-8.

    A NUL hints at UTF-16 that was read as UTF-8. A surrogate stands for a byte that was not UTF-8, or for half of a
    character.
    """
    return "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


def _listed(text: str) -> list[object] | None:
    """The texts of a list that is written as text; `None` if this is none. Raises `Uncaptioned` for a broken one."""
    text = text.strip()
    try:
        content = json_of(text)
    except ValueError:
        try:
            content = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            content = None
        # numpy writes ['a' 'b'], which Python takes for a list of one text.
        content = content if repr(content) == text else None
    if isinstance(content, list):
        return content
    if re.fullmatch(r"""\[\s*["'].*["']\s*\]""", text, re.DOTALL):
        raise Uncaptioned("caption is a list that is neither JSON nor Python")
    return None


def _lines(text: str) -> list[str]:
    # Not str.splitlines, which also splits at separators that a caption may hold.
    return list(io.StringIO(text, newline=None))


def _under_a_key(text: str) -> object:
    if not text.strip():
        return None
    try:
        content = json_of(text)
    except ValueError:
        raise Uncaptioned("caption file is not JSON") from None
    if not isinstance(content, dict):
        return None
    return next((content[key] for key in CAPTION_KEYS if content.get(key)), None)


# Caption files by suffix, with their parsers. An image with several uses the first of these.
CAPTION_SUFFIXES: dict[str, Callable[[str], object]] = {".txt": _lines, ".caption": _lines, ".json": _under_a_key}
