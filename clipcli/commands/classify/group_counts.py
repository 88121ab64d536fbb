"""Counts the rows of a run by the groups that their labels are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from clipcli.classes.tree import Path, Tree, split_path
from clipcli.records import Provenance, Row


class GroupCount(NamedTuple):
    """The images of a group: those of all its classes, and those of which the group itself is the label."""

    path: Path
    images: int
    own: int


class GroupCounts:
    """Counts rows by the groups `nodes`; `at` is the probability of `--back-off`, `None` without it."""

    def __init__(self, nodes: Sequence[Path] = (), *, at: float | None = None) -> None:
        self._nodes, self._at = nodes, at
        self._paths: Counter[str] = Counter()
        self._below = 0

    @classmethod
    def of(cls, provenance: Provenance) -> GroupCounts:
        """For the rows of a run; they count nothing if its classes are in no groups."""
        if not provenance.has_groups:
            return cls()
        tree = Tree(tuple(tuple(one["groups"]) for one in provenance.classes))
        return cls(tree.nodes, at=provenance.settings.get("back_off"))

    def add(self, rows: Sequence[Row]) -> None:
        """Count more rows."""
        for row in rows if self._nodes else ():
            if row.label_path is not None:
                self._paths[row.label_path] += 1
                self._below += self._at is not None and row.scores[0] < self._at

    def counts(self) -> list[GroupCount]:
        """The groups that have images, a group before those within it."""
        images: Counter[Path] = Counter()
        own: Counter[Path] = Counter()
        for text, count in self._paths.items():
            path = split_path(text)
            images.update({path[:n]: count for n in range(1, len(path) + 1)})
            own[path] += count
        return [GroupCount(path, images[path], own[path]) for path in self._nodes if images[path]]

    def sentences(self) -> list[str]:
        """What became of the images by backing off, in words; empty without it."""
        if self._at is None or not self._paths:
            return []
        total, groups = self._paths.total(), sum(count.own for count in self.counts())
        if not groups:
            said = [f"Each label is a class, and none a group: back off at more than {self._at:g} for groups."]
        else:
            said = [
                f"{groups:,} of {_images(total)} {_have(groups)} a group as label, as no class reaches {self._at:g}."
            ]
        if self._below:
            said.append(
                f"Of {_images(self._below)} no group reaches it: the label is the outermost one, and its score lower."
            )
        return said


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
