"""A class: its label, its other names, and sentences that describe it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clipcli.errors import BadFile

IMAGENET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True, slots=True)
class LabelledClass:
    """One class: its label, aliases, and whole sentences that describe it; `line` is its line in the file, from 1.

    `words` are what prompts say in place of a label such as `hot_dog`. `entries` is how often it was given: more than
    once where duplicates were made one class. `groups` are the names of those that it is in, the outermost first.
    """

    label: str
    aliases: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    line: int | None = None
    words: str | None = None
    entries: int = 1
    groups: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The label in words and its aliases, each once; ids of ImageNet, such as `n01440764`, name folders alone."""
        aliases = (name for name in self.aliases if not IMAGENET_ID.fullmatch(name))
        return tuple(dict.fromkeys((self.words or self.label, *aliases)))


def labelled(
    label: str,
    *,
    where: str,
    line: int | None = None,
    aliases: Sequence[str] = (),
    descriptions: Sequence[str] = (),
    groups: tuple[str, ...] = (),
) -> LabelledClass:
    """A class of texts as they were written, without blanks around them; `where` names the place in errors.

    Raises `BadFile` for a label that is blank, no text, or cannot be written.
    """
    if not isinstance(label, str):
        raise BadFile(f"{where}: a label is text, not {type(label).__name__}; put it in quotes")
    if not label.strip():
        raise BadFile(f"{where}: a label of only spaces; write the label or remove the line")
    if any("\ud800" <= c <= "\udfff" for text in (label, *aliases, *descriptions) for c in text):
        raise BadFile(f"{where}: half of a character; write the text as UTF-8")
    return LabelledClass(
        label=label.strip(),
        aliases=tuple(a.strip() for a in aliases if a.strip()),
        descriptions=tuple(d.strip() for d in descriptions if d.strip()),
        line=line,
        groups=groups,
    )
