"""The classes of an evaluation, and the true class of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.labels import LabelledClass
from clipcli.classes.normal_form import composed
from clipcli.data.class_names import by_number, from_names, matched
from clipcli.data.labelled import LabelledData, labelled_of, names_of
from clipcli.data.layouts import check_names
from clipcli.data.splits import refuse_two_deep
from clipcli.errors import BadFile, UsageError, some_of
from clipcli.notices import Notices


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes in order: their `names` in all output, and their labels and aliases, which prompts are made from.

    `from_labels` is true if they come from `--labels` or a classifier, false if DATA names them.
    """

    names: tuple[str, ...]
    classes: tuple[LabelledClass, ...]
    from_labels: bool

    def __len__(self) -> int:
        return len(self.names)


def classes_from_labels(classes: Sequence[LabelledClass], *, where: str, one_is_enough: bool = False) -> Classes:
    """The classes of a labels file or a classifier; `where` names it in errors.

    Raises `BadFile` for a single class, unless `one_is_enough`.

    A label may occur twice, as two do in ImageNet's own list: the second is called `label (2)`, and so on.
    """
    if len(classes) == 1 and not one_is_enough:
        raise BadFile(
            f"{where}: one label only, '{classes[0].label}'; expected at least two to choose from, or images of other"
            " things with --unknown-folder"
        )
    taken = {labelled.label for labelled in classes}
    seen: set[str] = set()
    names = []
    for labelled in classes:
        name = labelled.label if labelled.label not in seen else _numbered(labelled.label, taken)
        seen.add(labelled.label)
        taken.add(name)
        names.append(name)
    return Classes(tuple(names), tuple(classes), from_labels=True)


def _numbered(label: str, taken: set[str]) -> str:
    return next(name for n in count(2) if (name := f"{label} ({n})") not in taken)


def classes_from_data(
    data: Sequence[LabelledData], notices: Notices, *, keep_names: bool, one_is_enough: bool = False
) -> Classes:
    """The classes that the data themselves name; prompts have the words of their names, unless `keep_names`.

    Raises `UsageError` if the data have different classes, names that are no class names, or a single class, unless
    `one_is_enough`.
    """
    # The first spelling counts where names are the same but for their form in Unicode.
    by_form = {composed(name): name for one in reversed(data) for name in reversed(one.names)}
    names = list(dict.fromkeys(by_form[composed(name)] for one in data for name in one.names))
    for one in data:
        _check_names(one)
        different = [by_form[form] for form in sorted(by_form.keys() ^ set(map(composed, one.names)))]
        if different:
            raise UsageError(
                f"{data[0].text} and {one.text} do not have the same classes: only one of them has"
                f" {some_of(different)}; give --labels FILE for both"
            )
    if len(names) == 1 and not one_is_enough:
        raise UsageError(
            f"{data[0].text}: one class only, '{names[0]}'; expected images of at least two classes:"
            " give a folder per class, --labels FILE, or images of other things with --unknown-folder"
        )
    return Classes(tuple(names), tuple(from_names(names, notices, keep_names=keep_names).values()), from_labels=False)


def _check_names(data: LabelledData) -> None:
    """Raise `UsageError` if the names are numbers or ids, or the folders of a split instead of those of classes."""
    check_names(data.names, where=data.text)
    if data.noun != "folder":
        if all(name.isdecimal() for name in data.names):
            raise UsageError(
                f"{data.text}: its classes are numbers, such as {some_of(data.names[:3])}, and expected are names;"
                " give --labels FILE, whose labels are counted from 0"
            )
        return
    # In a list the class is the folder that an image lies in, and not the top folder of its path.
    refuse_two_deep(data.text, [(labelled.name, labelled.key) for labelled in labelled_of(data)])


def shared_prompt_warnings(classes: Classes) -> list[str]:
    """A warning for each group of names in the data with the same prompts, such as `hot_dog` and `hot dog`."""
    names: dict[str, list[str]] = {}
    for name, labelled in zip(classes.names, classes.classes, strict=True):
        names.setdefault(labelled.label, []).append(name)
    return [
        f"{some_of(group)} are separate classes with the same prompts; if they are one class, give them one name"
        for group in names.values()
        if len(group) > 1 and not classes.from_labels
    ]


def truth_of(data: LabelledData, classes: Classes, *, allow_empty: bool) -> NDArray[np.intp]:
    """The index of the true class `[N]` of each image that has a label.

    Raises `BadFile` if a name fits no class, and `UsageError` if a class has no image and `allow_empty` is false.
    """
    indices = _class_indices(data, classes)
    truth = np.array([indices[labelled.name] for labelled in labelled_of(data)], dtype=np.intp)
    empty = [classes.names[n] for n in np.flatnonzero(np.bincount(truth, minlength=len(classes)) == 0)]
    if empty and not allow_empty:
        noun = "class" if len(empty) == 1 else "classes"
        labels_hint = "" if classes.from_labels else ", name the classes with --labels FILE"
        raise UsageError(
            f"{data.text}: no image of {noun} {some_of(empty)}, and expected is at least one of each of the"
            f" {len(classes)} classes; found {some_of(names_of(data.entries))}; add images{labels_hint},"
            " or allow it with --allow-empty"
        )
    return truth


def _class_indices(data: LabelledData, classes: Classes) -> dict[str, int]:
    """The index of the class for each name in the data. Raises `BadFile` for a name that fits no class."""
    names = names_of(data.entries)
    if not classes.from_labels:
        known = {composed(name): n for n, name in enumerate(classes.names)}
        unknown = [name for name in names if composed(name) not in known]
        if unknown:
            raise BadFile(
                f"{data.text}: no class of DATA fits {some_of(unknown)}; its classes are {some_of(classes.names)};"
                " name the classes of both with --labels FILE"
            )
        return {name: known[composed(name)] for name in names}
    if data.noun != "folder" and all(name.isdecimal() for name in names) and not set(names) & set(classes.names):
        return by_number(names, classes.classes, where=data.text)
    order = {id(labelled): n for n, labelled in enumerate(classes.classes)}
    matches = matched(names, classes.classes, where=data.text, noun=data.noun)
    return {name: order[id(labelled)] for name, labelled in matches.items()}
