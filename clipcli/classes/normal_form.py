"""The one form in which names are compared: Unicode's composed form, NFC."""

from __future__ import annotations

import unicodedata


def composed(text: str) -> str:
    """The text in NFC, in which an accented letter is one character; macOS writes names of files in two."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
