"""Finds a free name for each file in its folder, or sees that it is there already."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from clipcli.actions.files import have_same_bytes
from clipcli.commands.sort.companions import renamed
from clipcli.commands.sort.names import CHANGED, folded, names_in, numbered, safe_name
from clipcli.notices import Notice, Notices
from clipcli.records import Reference

COLLISION = Notice(
    "file has the name of another in its folder", "files have the names of others in their folders", "got a number"
)
TWICE = Notice(
    "of these has the same content as that other one",
    "of these have the same content as those others",
    "there are two of them then",
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a group: an image, or what belongs to it, with its first name.

    `path` is its file, or the archive that it is in, for which `reference` points to its bytes.
    """

    path: str
    name: str
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The path of a file in its folder, and if the file is there already."""

    target: str
    is_there: bool


class Places:
    """Gives out paths in folders, each once, also where file systems do not tell capitals.

    `earlier` has the paths to which earlier runs brought each file, and `is_same` tells if the file at a path is what
    would be made of a member.
    """

    def __init__(
        self, earlier: Mapping[str, Sequence[str]], *, is_same: Callable[[Member, str], bool], notices: Notices
    ) -> None:
        self._earlier, self._is_same, self._notices = earlier, is_same, notices
        self._on_disk: dict[str, Mapping[str, tuple[str, bool]]] = {}
        self._given: dict[str, dict[str, Member]] = defaultdict(dict)
        # The number to try first for a name that was given out before.
        self._next: dict[tuple[str, str], int] = {}

    def place(self, image: str, group: Sequence[Member], folder: str) -> list[Place]:
        """The place of each file of a group in a folder. All get the same number, so that they stay together.

        `image` is the name of the image, from which those of the others are told.
        """
        name = safe_name(image)
        if name != image:
            self._notices.add(CHANGED, f"'{image}', which is {name}")
        for number in count(self._first(folder, name, group)):
            to = numbered(name, number)
            names = [to if not n else safe_name(renamed(one.name, image=image, to=to)) for n, one in enumerate(group)]
            places = [self._at(folder, one, other) for one, other in zip(names, group, strict=True)]
            if None not in places:
                break
            if number == 1:
                self._note_collision(folder, name, group[0])
        for one, member in zip(names, group, strict=True):
            self._given[folder][folded(one)] = member
        self._next[folder, folded(name)] = number + 1
        return [place for place in places if place is not None]

    def _first(self, folder: str, name: str, group: Sequence[Member]) -> int:
        """The first number to try: 1, unless so many files of this name were given out."""
        known = self._next.get((folder, folded(name)), 1)
        is_known = known > 1 and not self._were_here(folder, group[0])
        if is_known:
            self._note_collision(folder, name, group[0])
        return known if is_known else 1

    def _were_here(self, folder: str, member: Member) -> bool:
        return any(os.path.dirname(path) == folder for path in (member.path, *self._earlier.get(member.path, ())))

    def _at(self, folder: str, name: str, member: Member) -> Place | None:
        """The place of this name; `None` if another file has it."""
        target, form = os.path.join(folder, name), folded(name)
        given = self._given[folder].get(form)
        if given is not None:
            return Place(target, is_there=True) if given == member else None
        if folder not in self._on_disk:
            self._on_disk[folder] = names_in(folder)
        actual = self._on_disk[folder].get(form)
        if actual is None:
            return Place(target, is_there=False)
        target = os.path.join(folder, actual[0])
        is_ours = not actual[1] and (
            target == member.path or target in self._earlier.get(member.path, ()) or self._is_same(member, target)
        )
        return Place(target, is_there=True) if is_ours else None

    def _note_collision(self, folder: str, name: str, member: Member) -> None:
        self._notices.add(COLLISION, member.path)
        other = self._given[folder].get(folded(name))
        path = os.path.join(folder, name) if other is None else other.path
        with suppress(OSError):
            if member.reference is None and have_same_bytes(member.path, path):
                self._notices.add(TWICE, f"{member.path}, as {path}")
