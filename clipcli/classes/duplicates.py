"""Finds classes that are given several times, and names that several classes have: each splits a score.

Two classes with the same prompts get the same score, so that neither is above a half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clipcli.classes.labels import LabelledClass
from clipcli.classes.normal_form import composed
from clipcli.notices import Notice, Notices

_ONE, _MANY = "label is given several times", "labels are given several times"
MERGED = Notice(_ONE, _MANY, "made one class; --keep-duplicates keeps them apart")
KEPT = Notice(_ONE, _MANY, "kept as separate classes, which share the score")
SHARED = Notice(
    "name belongs to several classes", "names belong to several classes", "they share its score; leave it with one"
)


def one_of_each(
    classes: Sequence[LabelledClass], notices: Notices, *, keep_duplicates: bool
) -> tuple[LabelledClass, ...]:
    """The classes with duplicates made one, in the order of the first, unless `keep_duplicates`; both is counted.

    Duplicates have the same label in prompts, but for case, blanks and the form in Unicode. One class then has the
    aliases and descriptions of all.
    """
    groups: dict[str, list[LabelledClass]] = {}
    for one in classes:
        groups.setdefault(_same(one.words or one.label), []).append(one)
    for group in groups.values():
        if len(group) > 1:
            notices.add(KEPT if keep_duplicates else MERGED, _named([one.label for one in group]))
    if keep_duplicates:
        return tuple(classes)
    merged = tuple(_merged(group) for group in groups.values())
    _count_shared(merged, notices)
    return merged


def _merged(group: Sequence[LabelledClass]) -> LabelledClass:
    if len(group) == 1:
        return group[0]
    return replace(
        group[0],
        aliases=tuple(dict.fromkeys(name for one in group for name in one.aliases)),
        descriptions=tuple(dict.fromkeys(text for one in group for text in one.descriptions)),
        entries=len(group),
    )


def _count_shared(classes: Sequence[LabelledClass], notices: Notices) -> None:
    """Count the names, such as an alias, that several classes have."""
    owners: dict[str, list[LabelledClass]] = {}
    for one in classes:
        for name in dict.fromkeys(map(_same, one.names)):
            owners.setdefault(name, []).append(one)
    for name, group in owners.items():
        if len(group) > 1:
            notices.add(SHARED, f"'{name}' of {_named([one.label for one in group])}")


def _same(name: str) -> str:
    """The name in the form in which duplicates are the same."""
    return " ".join(composed(name).casefold().split())


def _named(labels: Sequence[str]) -> str:
    return " and ".join(f"'{label}'" for label in dict.fromkeys(labels))
