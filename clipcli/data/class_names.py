"""Names of classes as data has them: in folders, cells and text files, and the classes that they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from clipcli.classes.labels import LabelledClass
from clipcli.data.captions import is_utf8
from clipcli.data.tars import LABEL_SUFFIX
from clipcli.errors import BadFile, some_of
from clipcli.records import Reference

_LABEL_KEYS = ("label", "class", "class_name", "cls", "category")


def from_names(names: Iterable[str]) -> dict[str, LabelledClass]:
    """A class for each name that is whole text, a `_` of it being a space in prompts."""
    return {name: LabelledClass(name.replace("_", " ").strip() or name) for name in names if is_utf8(name)}


def matched(
    names: Iterable[str], classes: tuple[LabelledClass, ...], *, where: str, noun: str = "folder"
) -> dict[str, LabelledClass]:
    """The class that each name belongs to: by its exact name, else whatever the case and with `_` for spaces.

    Raises `BadFile` where a name belongs to no class. `noun` is the word for a name in the message: `folder` for names
    of folders, `value` for those in cells and files.
    """
    # Labels before aliases, so that one class's alias never hides another class.
    known = [(c.label, c) for c in classes] + [(alias, c) for c in classes for alias in c.aliases]
    exact = dict(reversed(known))
    loosely = {folded(name): c for name, c in reversed(known)}
    found = {name: exact.get(name) or loosely.get(folded(name)) for name in names}
    strangers = [name for name, labelled in found.items() if labelled is None]
    if strangers:
        what, them = (noun, "it") if len(strangers) == 1 else (f"{noun}s", "them")
        raise BadFile(
            f"{where}: no label fits {what} {some_of(strangers)}; rename {them} to labels,"
            f" as in {some_of([c.label for c in classes])}, or add {them} to the labels"
        )
    return {name: labelled for name, labelled in found.items() if labelled is not None}


def folded(name: str) -> str:
    """The name whatever its case and with spaces for `_`."""
    return name.replace("_", " ").casefold()


def name_in(cell: object) -> str | None:
    """The name in a cell or a file: text, or a whole number. `None` for all else, for blanks and for broken text."""
    if isinstance(cell, float) and cell.is_integer():
        # Tables with a gap in a column write all its numbers as 1.0.
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        return None
    text = str(cell).strip()
    return text if text and is_utf8(text) else None


def name_in_texts(texts: Mapping[str, Reference], *, read: Callable[[Reference], bytes]) -> str | None:
    """The name in the files of a shard's key: its `.cls`, else a key of its `.json`, else the line of its `.txt`."""
    for suffix in (LABEL_SUFFIX, ".json", ".txt"):
        if suffix not in texts:
            continue
        text = read(texts[suffix]).decode("utf-8-sig", "surrogateescape").strip()
        if suffix == ".json":
            text = name_in_json(text)
        if (name := name_in(text)) is not None:
            return name
    return None


def name_in_json(text: str) -> str:
    """The name under the key of a label in a JSON object; empty where there is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    values = [content[key] for key in _LABEL_KEYS if key in content] if isinstance(content, dict) else []
    return (name_in(values[0]) if values else None) or ""
