"""Captions as they are written: a line each in `.txt` and `.caption`, under a key in `.json`, a cell of a table."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping

from clipcli.records import Reference

CAPTION_KEYS = ("caption", "captions", "text", "texts", "description")


class Uncaptioned(ValueError):
    """There is no caption to be had here; the message is the reason, in a few words."""


def caption_suffix(name: str) -> str | None:
    """The suffix of a caption file in lower case; `None` for a file that is none."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if suffix in CAPTION_SUFFIXES else None


def captions_beside(texts: Mapping[str, Reference], *, read: Callable[[Reference], bytes]) -> tuple[str, ...]:
    """The captions of the first caption file that is there, of those beside an image by their suffixes.

    Raises `Uncaptioned`.
    """
    suffix = next((suffix for suffix in CAPTION_SUFFIXES if suffix in texts), None)
    if suffix is None:
        raise Uncaptioned("no caption")
    try:
        data = read(texts[suffix])
    # A zip raises nearly anything on a damaged or encrypted file, and one bad caption must never stop a run.
    except Exception as e:
        raise Uncaptioned(f"cannot read its {suffix}: {' '.join(str(e).split()) or type(e).__name__}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Uncaptioned("caption is not UTF-8") from None
    return cleaned(CAPTION_SUFFIXES[suffix](text))


def cleaned(value: object) -> tuple[str, ...]:
    """A caption, or a list of them, as stripped captions without blank ones. Raises `Uncaptioned`."""
    texts = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    captions: list[str] = []
    for text in texts:
        if text is not None and not isinstance(text, str):
            raise Uncaptioned("caption is not text")
        if text and text.strip():
            captions.append(text.strip())
    if any(not is_utf8(caption) for caption in captions):
        raise Uncaptioned("caption is not UTF-8")
    if not captions:
        raise Uncaptioned("no caption")
    return tuple(captions)


def is_utf8(text: str) -> bool:
    """True for whole text: no NUL as in UTF-16 read as UTF-8, and no byte or half character on its own."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


def _lines(text: str) -> list[str]:
    # Not str.splitlines, which also splits at separators that a caption may hold.
    return list(io.StringIO(text, newline=None))


def _under_a_key(text: str) -> object:
    if not text.strip():
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise Uncaptioned("caption file is not JSON") from None
    if not isinstance(content, dict):
        return None
    return next((content[key] for key in CAPTION_KEYS if content.get(key)), None)


# In the order of preference where an image has several.
CAPTION_SUFFIXES: dict[str, Callable[[str], object]] = {".txt": _lines, ".caption": _lines, ".json": _under_a_key}
