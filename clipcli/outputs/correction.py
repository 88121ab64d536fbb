"""What people said about images: the correction that counts for each, and where they did not agree."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from clipcli.data.tables.rows import find_near
from clipcli.notices import Notice, Notices

ELSEWHERE = Notice(
    "correction names its image from another folder",
    "corrections name their images from another folder",
    "taken for the row of that image",
    warns=False,
)


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person said about the image of this path: its labels, none if it is of none of the classes.

    `reviewed_at` is a time in UTC, in ISO 8601; empty where the file has none. With `undone` this no longer counts.
    """

    path: str
    labels: tuple[str, ...]
    reviewed_at: str
    undone: bool = False

    @property
    def label(self) -> str | None:
        """The label, the first of several; `None` says that the image is of none of the classes."""
        return self.labels[0] if self.labels else None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Files that say different things about one image: each with what it says, in the order of review."""

    path: str
    said: tuple[tuple[str, Correction], ...]

    def in_words(self) -> str:
        """The conflict as users read it, with the labels and the files; the last review counts."""
        found = [f"{_named(correction)} in {file}" for file, correction in self.said]
        return f"{self.path}: {', '.join(found)}, which is the latest"


@dataclass(frozen=True, slots=True)
class Corrections:
    """The correction that counts for each path, and where files did not agree about one.

    `said` are all that were not taken back with their files, in the order of the files and of their rows.
    """

    by_path: Mapping[str, Correction]
    conflicts: tuple[Conflict, ...] = ()
    said: tuple[tuple[str, Correction], ...] = ()

    @property
    def standing(self) -> tuple[Correction, ...]:
        """All corrections that were not taken back, in the order of the files and of their rows."""
        return tuple(correction for _, correction in self.said)

    def as_called(self, names: Mapping[str, str], notices: Notices) -> Corrections:
        """The same by the paths that rows have; `names` are these, by the absolute path of each image.

        A path that is none of them is looked up as in a table of images: beside the file of corrections, then from the
        working folder. `notices` counts those that are found so.
        """
        known = set(names.values())
        if known.issuperset(self.by_path):
            return self
        find = cache(lambda file: find_near(file, notices))

        def called(file: str, one: Correction) -> Correction:
            image = None if one.path in known else find(file)(one.path)
            name = names.get(os.path.abspath(image.file or "")) if image else None
            if name is None:
                return one
            notices.add(ELSEWHERE, f"{one.path}, which is {name}")
            return replace(one, path=name)

        return combined((file, called(file, one)) for file, one in self.said)


def combined(said: Iterable[tuple[str, Correction]]) -> Corrections:
    """The corrections of all files, those of a file one after the other."""
    said = tuple(said)
    # Of a file the last about an image counts.
    by_file: dict[str, dict[str, Correction]] = {}
    for file, correction in said:
        by_path = by_file.setdefault(correction.path, {})
        by_path.pop(file, None)
        by_path[file] = correction
    found = {path: sorted(each.items(), key=lambda one: one[1].reviewed_at) for path, each in by_file.items()}
    conflicts = (Conflict(path, tuple(each)) for path, each in found.items() if _differ(each))
    return Corrections({path: each[-1][1] for path, each in found.items()}, tuple(conflicts), said)


def _named(correction: Correction) -> str:
    return " and ".join(map(repr, correction.labels)) or "none of the labels"


def _differ(found: Sequence[tuple[str, Correction]]) -> bool:
    return len({frozenset(correction.labels) for _, correction in found}) > 1
