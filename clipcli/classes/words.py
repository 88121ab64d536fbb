"""Turns the names of classes into words for prompts: `hot_dog`, `001.hot_dog`, `n07697537-hot_dog`, `HotDog`.

Models were trained on words with spaces between them: with `_` in their place a third of the labels may be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from clipcli.classes.labels import LabelledClass
from clipcli.notices import Notice, Notices

AS_WORDS = Notice(
    "name was turned into words",
    "names were turned into words",
    "for prompts alone; --keep-names leaves names as they are",
    warns=False,
)
# An id of ImageNet, or a number that counts the classes or their images, before every name.
_NUMBERED = re.compile(r"(?:n\d{8}|\d+)[._-]+(?=[^\W\d])")
# Words with a capital each and nothing between them; not `iPhone`.
_CAMEL = re.compile(r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,})*")
_HUMP = re.compile(r"(?<=[a-z])(?<!\bMc)(?<!\bMac)(?=[A-Z])")
_DOT_BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_]{2})\.(?=[^\W\d_]{2})")


def as_words(names: Iterable[str]) -> dict[str, str]:
    """The words of each name of a set of classes.

    A number or an id goes where every name has one and they can still be told apart; capitals part words where all
    names are written so. `_`, and a dot between words, become spaces.
    """
    found = {name: name for name in names}
    if all(map(_NUMBERED.match, found)):
        shorter = {name: _NUMBERED.sub("", name, count=1) for name in found}
        found = shorter if len(set(shorter.values())) == len(found) else found
    if all(map(_CAMEL.fullmatch, found.values())):
        found = {name: _HUMP.sub(" ", text) for name, text in found.items()}
    return {name: _spaced(text) for name, text in found.items()}


def in_words(classes: Sequence[LabelledClass], notices: Notices, *, keep_names: bool) -> tuple[LabelledClass, ...]:
    """The classes with the words of their labels and aliases for prompts; `notices` counts what was changed."""
    if keep_names:
        return tuple(classes)
    words = as_words(labelled.label for labelled in classes)
    count_changed(words, notices)
    return tuple(
        replace(
            labelled,
            words=words[labelled.label],
            aliases=tuple(map(_spaced, labelled.aliases)),
        )
        for labelled in classes
    )


def count_changed(words: dict[str, str], notices: Notices) -> None:
    """Count the names that are other words."""
    for name, text in words.items():
        if text != name:
            notices.add(AS_WORDS, f"'{name}' into '{text}'")


def _spaced(name: str) -> str:
    dotted = name if " " in name else _DOT_BETWEEN_WORDS.sub(" ", name)
    return " ".join(dotted.replace("_", " ").split()) or name
