"""The hierarchy of classes: groups within groups, whose last names are the classes.

A class keeps the names of its groups. So a hierarchy is written, saved and compared like other facts of the classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clipcli.classes.labels import LabelledClass
from clipcli.classes.normal_form import composed

Path = tuple[str, ...]
# A slash that parts two names, and not one that is part of a name.
_BETWEEN = re.compile(r"((?:[^\\/]|\\.)*)(?:/|$)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tree:
    """The groups of `C` classes: `groups` has for each class the names of those around it, the outermost first.

    A name stands for one group or one class, and a class may be in no group.
    """

    groups: tuple[Path, ...]

    @property
    def nodes(self) -> tuple[Path, ...]:
        """The groups as paths from the root, a group before those within it, in the order of the classes."""
        return tuple(dict.fromkeys(path[:n] for path in self.groups for n in range(1, len(path) + 1)))

    def names(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The names of all that may be an answer: the classes, which are called `labels`, then the groups."""
        return (*labels, *(path[-1] for path in self.nodes))

    def paths(self, labels: Sequence[str]) -> tuple[Path, ...]:
        """The path of each of these `names`, with the name itself at its end."""
        return (*((*path, label) for path, label in zip(self.groups, labels, strict=True)), *self.nodes)

    def fits(self, labels: Sequence[str]) -> bool:
        """True if there is a path for each of the labels, and no name stands for two things."""
        if len(self.groups) != len(labels):
            return False
        names = [path[-1] for path in self.nodes]
        return len(set(names)) == len(names) and not set(names) & set(labels)


def tree_of(classes: Sequence[LabelledClass]) -> Tree | None:
    """The hierarchy of the classes; `None` if none of them is in a group."""
    return Tree(tuple(one.groups for one in classes)) if any(one.groups for one in classes) else None


def written_path(path: Path) -> str:
    r"""The path in one text, as outputs hold it: `animal/dog/beagle`. A slash in a name is written `\/`."""
    return "/".join(name.replace("\\", "\\\\").replace("/", "\\/") for name in path)


def split_path(text: str) -> Path:
    """The names of a path that `written_path` wrote."""
    return tuple(_ESCAPED.sub(r"\1", part) for part in _BETWEEN.findall(text)[:-1])


def same_name(name: str) -> str:
    """The name in the form in which two of a hierarchy are the same."""
    return " ".join(composed(name).replace("_", " ").casefold().split())
