"""Which classes an evaluation is about, and which of them each image belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import BadFile, UsageError
from clipcli.evaluation.labelled import LabelledData, labelled_of
from clipcli.labels import LabelledClass
from clipcli.pairs.folders import from_names, matched
from clipcli.pairs.pair import some_of


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
    """The classes that the data name themselves, a folder's `_` being a space in prompts.

    Raises `UsageError` where data sets name different classes, or one only.
    """
    names = list(dict.fromkeys(name for data in read for name in data.names))
    for data in read:
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
    if read[0].called != "folder":
        numbers = [name for name in names if not name.isdecimal()] == []
        if numbers:
            raise UsageError(
                f"{read[0].text}: its classes are numbers, such as {some_of(names[:3])}, and expected are names;"
                " give --labels FILE, whose labels are counted from 0"
            )
        return Classes(tuple(names), tuple(map(LabelledClass, names)), given=False)
    return Classes(tuple(names), tuple(from_names(names).values()), given=False)


def truth_of(read: LabelledData, classes: Classes, *, allow_empty: bool) -> NDArray[np.intp]:
    """The class `[N]` of each image that has a label, as an index.

    Raises `BadFile` where a name fits no class, and `UsageError` where a class has no image and `allow_empty` does not
    let that pass.
    """
    places = _places(read, classes)
    truth = np.array([places[labelled.name] for labelled in labelled_of(read)], dtype=np.intp)
    empty = [name for n, name in enumerate(classes.names) if n not in set(truth.tolist())]
    if empty and not allow_empty:
        what = "class" if len(empty) == 1 else "classes"
        raise UsageError(
            f"{read.text}: no image of {what} {some_of(empty)}, and expected is at least one of each of the"
            f" {len(classes)} classes; found {some_of(list(read.names))}; add images, or allow it with --allow-empty"
        )
    return truth


def _places(read: LabelledData, classes: Classes) -> dict[str, int]:
    """The index of the class that each name stands for."""
    used = dict.fromkeys(labelled.name for labelled in labelled_of(read))
    # A folder without images is a class too, where folders are all that names classes.
    names = list(read.names) if read.called == "folder" else list(used)
    if not classes.given:
        known = {name: n for n, name in enumerate(classes.names)}
        return {name: known[name] for name in names}
    if read.called != "folder" and all(name.isdecimal() for name in names) and not set(names) & set(classes.names):
        beyond = [name for name in names if int(name) >= len(classes)]
        if beyond:
            raise BadFile(
                f"{read.text}: class number {beyond[0]} is too large for {len(classes)} labels;"
                f" expected numbers from 0 to {len(classes) - 1}"
            )
        return {name: int(name) for name in names}
    order = {id(labelled): n for n, labelled in enumerate(classes.classes)}
    found = matched(names, classes.classes, where=read.text, called=read.called)
    return {name: order[id(labelled)] for name, labelled in found.items()}
