"""Finds class names in folders, cells and text files, and matches them to classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from clipcli.classes.labels import LabelledClass
from clipcli.classes.normal_form import composed
from clipcli.classes.words import as_words, count_changed
from clipcli.data.captions import is_utf8
from clipcli.data.columns import whole_number
from clipcli.data.tars import LABEL_SUFFIX
from clipcli.errors import BadFile, some_of
from clipcli.notices import Notices
from clipcli.parsed import json_of
from clipcli.records import Reference

_LABEL_KEYS = ("label", "class", "class_name", "cls", "category")


def from_names(names: Iterable[str], notices: Notices, *, keep_names: bool = False) -> dict[str, LabelledClass]:
    """A class for each name, with the words of the name as its label. Names that are not UTF-8 are left out.

    `notices` counts the names that became other words; with `keep_names` they stay.
    """
    proper = [name for name in names if is_utf8(name)]
    if keep_names:
        return {name: LabelledClass(name) for name in proper}
    words = as_words(proper)
    count_changed(words, notices)
    return {name: LabelledClass(text) for name, text in words.items()}


def matched(
    names: Iterable[str], classes: tuple[LabelledClass, ...], *, where: str, noun: str = "folder"
) -> dict[str, LabelledClass]:
    """The class of each name: by exact label or alias, else ignoring case and by the words of the name.

    `noun` is the word for a name in the error: `folder` for names of folders, `value` for names in cells and files;
    `where` names the data. Raises `BadFile` if a name fits no class.
    """
    found = found_in(names, classes)
    unmatched = [name for name, labelled in found.items() if labelled is None]
    if unmatched:
        what, them = (noun, "it") if len(unmatched) == 1 else (f"{noun}s", "them")
        raise BadFile(
            f"{where}: no label fits {what} {some_of(unmatched)}; rename {them} to labels,"
            f" as in {some_of([c.label for c in classes])}, or add {them} to the labels"
        )
    return {name: labelled for name, labelled in found.items() if labelled is not None}


def found_in(names: Iterable[str], classes: tuple[LabelledClass, ...]) -> dict[str, LabelledClass | None]:
    """As `matched`, with `None` for a name that fits no class."""
    # Labels before aliases, so that one class's alias never hides another class.
    known = [(c.label, c) for c in classes] + [(name, c) for c in classes for name in (*c.names, *c.aliases)]
    exact = dict(reversed(known))
    loosely = {folded(name): c for name, c in reversed(known)}
    words = as_words(names)
    return {name: exact.get(name) or loosely.get(folded(name)) or loosely.get(folded(words[name])) for name in words}


def by_number(names: Iterable[str], classes: tuple[LabelledClass, ...], *, where: str) -> dict[str, int]:
    """The index of the class that each name is the number of, from 0; `where` names the data.

    Raises `BadFile` for a number that is too large, or if duplicates became one class, so that the classes after it
    have other numbers.
    """
    merged = [labelled.label for labelled in classes if labelled.entries > 1]
    if merged:
        raise BadFile(
            f"{where}: its classes are numbers, and the labels hold {some_of(merged)} several times; give"
            " --keep-duplicates if they are counted so, or take the duplicates out"
        )
    too_large = next((name for name in names if int(name) >= len(classes)), None)
    if too_large is not None:
        raise BadFile(
            f"{where}: class number {too_large} is too large for {len(classes)} labels;"
            f" expected numbers from 0 to {len(classes) - 1}"
        )
    return {name: int(name) for name in names}


def folded(name: str) -> str:
    """The name in a form for comparing: composed and case folded, with `_` as a space."""
    return composed(name).replace("_", " ").casefold()


def name_in(cell: object) -> str | None:
    """The class name in a cell or a file, as text: text or a whole number.

    `None` for blanks, for text that is not UTF-8, and for any other type.
    """
    cell = whole_number(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        return None
    text = str(cell).strip()
    return text if text and is_utf8(text) else None


def name_in_texts(texts: Mapping[str, Reference], *, read: Callable[[Reference], bytes]) -> str | None:
    """The class name in the text files of a shard's key, which `texts` has by suffix.

    It is the content of the `.cls`, else a value in the `.json`, else the content of the `.txt`; `None` if there is
    none. Raises what `read` raises.
    """
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
    """The class name in a JSON object, under a key such as `label`; empty if there is none."""
    try:
        content = json_of(text)
    except ValueError:
        return ""
    values = [content[key] for key in _LABEL_KEYS if key in content] if isinstance(content, dict) else []
    return (name_in(values[0]) if values else None) or ""
