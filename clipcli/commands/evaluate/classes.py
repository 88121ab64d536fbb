"""Which classes an evaluation is about, and which of them each image belongs to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.labels import LabelledClass
from clipcli.data.class_names import from_names, matched
from clipcli.data.labelled import Labelled, LabelledData, labelled_of, names_of
from clipcli.errors import BadFile, UsageError, some_of

# What the parts of a data set are called, those to measure on first.
_SPLITS = ("val", "validation", "valid", "test", "dev", "train")


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes in order: their names in what is written, and what their prompts are made of."""

    names: tuple[str, ...]
    classes: tuple[LabelledClass, ...]
    given: bool

    def __len__(self) -> int:
        return len(self.names)


def given_classes(classes: Sequence[LabelledClass], *, where: str) -> Classes:
    """Classes of a labels file or a classifier. Raises `BadFile` where there is only one.

    Of labels that stand there twice, as two in ImageNet's own list do, the later ones are called `label (2)` and so on.
    """
    if len(classes) == 1:
        raise BadFile(f"{where}: one label only, '{classes[0].label}'; expected at least two to choose from")
    taken = {labelled.label for labelled in classes}
    seen: set[str] = set()
    names = []
    for labelled in classes:
        name = labelled.label if labelled.label not in seen else _numbered(labelled.label, taken)
        seen.add(labelled.label)
        taken.add(name)
        names.append(name)
    return Classes(tuple(names), tuple(classes), given=True)


def _numbered(label: str, taken: set[str]) -> str:
    return next(name for n in count(2) if (name := f"{label} ({n})") not in taken)


def classes_in(read: Sequence[LabelledData]) -> Classes:
    """The classes that the data name themselves, a `_` of theirs being a space in prompts.

    Raises `UsageError` where data sets name different classes, or one only, or where the names are none.
    """
    names = list(dict.fromkeys(name for data in read for name in data.names))
    for data in read:
        _check_names(data)
        other = sorted(set(names) ^ set(data.names))
        if other:
            raise UsageError(
                f"{read[0].text} and {data.text} do not have the same classes: only one of them has {some_of(other)};"
                " give --labels FILE for both"
            )
    if len(names) == 1:
        raise UsageError(
            f"{read[0].text}: one class only, '{names[0]}'; expected images of at least two classes:"
            " give a folder per class, or --labels FILE"
        )
    return Classes(tuple(names), tuple(from_names(names).values()), given=False)


def same_prompts(classes: Classes) -> list[str]:
    """One sentence for each label that several names in the data come to, such as `hot_dog` and `hot dog`."""
    names: dict[str, list[str]] = {}
    for name, labelled in zip(classes.names, classes.classes, strict=True):
        names.setdefault(labelled.label, []).append(name)
    return [
        f"{some_of(found)} are separate classes with the same prompts; if they are one class, give them one name"
        for found in names.values()
        if len(found) > 1 and not classes.given
    ]


def truth_of(read: LabelledData, classes: Classes, *, allow_empty: bool) -> NDArray[np.intp]:
    """The class `[N]` of each image that has a label, as an index.

    Raises `BadFile` where a name fits no class, and `UsageError` where a class has no image and `allow_empty` does not
    let that pass.
    """
    places = _places(read, classes)
    truth = np.array([places[labelled.name] for labelled in labelled_of(read)], dtype=np.intp)
    empty = [classes.names[n] for n in np.flatnonzero(np.bincount(truth, minlength=len(classes)) == 0)]
    if empty and not allow_empty:
        what = "class" if len(empty) == 1 else "classes"
        named = "" if classes.given else ", name the classes with --labels FILE"
        raise UsageError(
            f"{read.text}: no image of {what} {some_of(empty)}, and expected is at least one of each of the"
            f" {len(classes)} classes; found {some_of(names_of(read.entries))}; add images{named},"
            " or allow it with --allow-empty"
        )
    return truth


def _check_names(data: LabelledData) -> None:
    """Raise `UsageError` where what seems to be names of classes is something else."""
    if data.noun != "folder":
        if all(name.isdecimal() for name in data.names):
            raise UsageError(
                f"{data.text}: its classes are numbers, such as {some_of(data.names[:3])}, and expected are names;"
                " give --labels FILE, whose labels are counted from 0"
            )
        return
    tops = names_of(data.entries)
    if all(labelled.key.count("/") > 1 and _is_below(labelled) for labelled in labelled_of(data)):
        inside = next((name for name in _SPLITS if name in tops), tops[0])
        raise UsageError(
            f"{data.text}: its images lie two folders deep, below {some_of(tops)}; did you mean"
            f" {os.path.join(data.text, inside)}? If these are the classes, name them with --labels FILE"
        )


def _is_below(labelled: Labelled) -> bool:
    """True where the class is the top folder, not the folder that the image lies in as in a list."""
    return labelled.key.startswith(f"{labelled.name}/")


def _places(read: LabelledData, classes: Classes) -> dict[str, int]:
    """The index of the class that each name of an image stands for. Raises `BadFile`."""
    names = names_of(read.entries)
    if not classes.given:
        known = {name: n for n, name in enumerate(classes.names)}
        strange = [name for name in names if name not in known]
        if strange:
            raise BadFile(
                f"{read.text}: no class of DATA fits {some_of(strange)}; its classes are {some_of(classes.names)};"
                " name the classes of both with --labels FILE"
            )
        return {name: known[name] for name in names}
    if read.noun != "folder" and all(name.isdecimal() for name in names) and not set(names) & set(classes.names):
        beyond = [name for name in names if int(name) >= len(classes)]
        if beyond:
            raise BadFile(
                f"{read.text}: class number {beyond[0]} is too large for {len(classes)} labels;"
                f" expected numbers from 0 to {len(classes) - 1}"
            )
        return {name: int(name) for name in names}
    order = {id(labelled): n for n, labelled in enumerate(classes.classes)}
    found = matched(names, classes.classes, where=read.text, noun=read.noun)
    return {name: order[id(labelled)] for name, labelled in found.items()}
