"""Names of files and folders that every file system takes, and that differ by more than capitals."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import count

from clipcli.classes.normal_form import composed
from clipcli.notices import Notice, Notices

CHANGED = Notice(
    "name is not one that every file system takes",
    "names are not ones that every file system takes",
    "changed to such a one",
    warns=False,
)
SAME_FOLDER = Notice(
    "label would have the folder of another",
    "labels would have the folders of others",
    "it got a number, so that each has its own",
    warns=False,
)
# What Windows, and the file systems of its disks and of cameras, do not take.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(?=\s*(\.|$))", re.IGNORECASE)
# The longest name in bytes of UTF-8, and the longest of a folder and a suffix in characters.
_MOST_BYTES, _MOST_OF_FOLDER, _MOST_OF_SUFFIX = 255, 100, 20


def folded(name: str) -> str:
    """The name in the form in which two of a folder are one on a file system that does not tell capitals."""
    return composed(name).casefold()


def safe_name(name: str) -> str:
    """The name, or the nearest that every file system takes; its suffix stays."""
    name = _FORBIDDEN.sub("_", name).rstrip(" .")
    name = _RESERVED.sub(r"\1_", name, count=1) if _RESERVED.match(name) else name
    return _joined(*_split(name)) or "_"


def numbered(name: str, number: int) -> str:
    """The name with a number before its suffix, as in `IMG_1-2.jpg`; the first has none."""
    if number == 1:
        return name
    stem, suffix = _split(name)
    return _joined(stem, f"-{number}{suffix}")


class Folders:
    """The folders below a root: each text, such as a label, has one of its own, and none leads out of the root."""

    def __init__(self, root: str, notices: Notices) -> None:
        self._root, self._notices = root, notices
        self._found: dict[tuple[str, ...], str] = {}
        # The texts of the folders in a folder, by the form of their names.
        self._texts: dict[str, dict[str, str]] = {}
        self._on_disk: dict[str, Mapping[str, tuple[str, bool]]] = {}

    def at(self, texts: tuple[str, ...]) -> str:
        """The path of the folder for these texts, one within the other. One that is there is taken as it is spelt."""
        if not texts:
            return self._root
        if texts not in self._found:
            self._found[texts] = self._below(self.at(texts[:-1]), texts[-1])
        return self._found[texts]

    def _below(self, folder: str, text: str) -> str:
        text = composed(text)
        name = _safe_folder(text)
        if name != text:
            self._notices.add(CHANGED, f"'{text}', which is {name}")
        texts = self._texts.setdefault(folder, {})
        if folder not in self._on_disk:
            self._on_disk[folder] = names_in(folder)
        for number in count(1):
            tried = name if number == 1 else f"{name}-{number}"
            actual, is_folder = self._on_disk[folder].get(folded(tried), (tried, True))
            if is_folder and texts.setdefault(folded(tried), text) == text:
                if number > 1:
                    self._notices.add(SAME_FOLDER, f"'{text}', which is {tried}")
                return os.path.join(folder, actual)
        raise AssertionError


def names_in(folder: str) -> dict[str, tuple[str, bool]]:
    """The names in a folder by their form, and if each is a folder; none if it is not there."""
    try:
        with os.scandir(folder) as entries:
            return {folded(entry.name): (entry.name, entry.is_dir()) for entry in entries}
    except OSError:
        return {}


def _safe_folder(text: str) -> str:
    """The name of the folder for a text. It is not hidden: nothing would be found in it."""
    name = safe_name(text.strip()[:_MOST_OF_FOLDER])
    return f"_{name[1:]}" if name.startswith(".") else name


def _split(name: str) -> tuple[str, str]:
    """The name without its suffix, and the suffix; what is too long for one is none."""
    stem, suffix = os.path.splitext(name)
    return (stem, suffix) if len(suffix) <= _MOST_OF_SUFFIX else (name, "")


def _joined(stem: str, end: str) -> str:
    """Both together, with the stem cut so that the name is not too long."""
    most = _MOST_BYTES - len(os.fsencode(end))
    if len(os.fsencode(stem)) > most:
        while len(os.fsencode(stem)) > most:
            stem = stem[:-1]
        stem = stem.rstrip(" .")
    return stem + end
