"""A tree with a folder per class: the folder's name is the label, and the prompts of the label are the captions."""

from __future__ import annotations

from collections.abc import Iterable

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import prompts_of
from clipcli.data.pairs.captions import is_utf8
from clipcli.data.pairs.pair import Data, Pair, PairOptions, PairsRead, some_of
from clipcli.errors import BadFile
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """Whether there are images in folders."""
    return any(len(image.parts) > 1 for image in data.images)


def read(data: Data, options: PairOptions) -> PairsRead:
    """Each image with the prompts of its class: one tuple for all images of a class, for there may be millions.

    Raises `BadFile` where a folder belongs to none of the classes that were given.
    """
    names = dict.fromkeys(image.parts[0] for image in data.images if len(image.parts) > 1)
    classes = from_names(names) if options.classes is None else matched(names, options.classes, where=data.text)
    prompts = {labelled: prompts_of(labelled, options.templates) for labelled in classes.values()}
    captions = {name: prompts[labelled] for name, labelled in classes.items()}
    # Two folders of one class are one class; without a labels file the folder's name is the label.
    labels = {name: name if options.classes is None else labelled.label for name, labelled in classes.items()}
    found = PairsRead([], [])
    for image in data.images:
        name = image.parts[0]
        if len(image.parts) == 1:
            found.skipped.append(Skipped(image.item, "not in a class folder"))
        elif name not in captions:
            found.skipped.append(Skipped(image.item, "folder name is not UTF-8"))
        else:
            found.pairs.append(Pair(image.item, captions[name], label=labels[name]))
    return found


def from_names(names: Iterable[str]) -> dict[str, LabelledClass]:
    """A class for each folder, called as the folder is."""
    return {name: LabelledClass(name.replace("_", " ").strip() or name) for name in names if is_utf8(name)}


def matched(
    names: Iterable[str], classes: tuple[LabelledClass, ...], *, where: str, called: str = "folder"
) -> dict[str, LabelledClass]:
    """The class that each name belongs to: by its exact name, else whatever the case and with `_` for spaces.

    `called` says what is named so. Raises `BadFile` where a name belongs to no class.
    """
    # Labels before aliases, so that one class's alias never hides another class.
    known = [(c.label, c) for c in classes] + [(alias, c) for c in classes for alias in c.aliases]
    exact = dict(reversed(known))
    loosely = {folded(name): c for name, c in reversed(known)}
    found = {name: exact.get(name) or loosely.get(folded(name)) for name in names}
    strangers = [name for name, labelled in found.items() if labelled is None]
    if strangers:
        what, them = (called, "it") if len(strangers) == 1 else (f"{called}s", "them")
        raise BadFile(
            f"{where}: no label fits {what} {some_of(strangers)}; rename {them} to labels,"
            f" as in {some_of([c.label for c in classes])}, or add {them} to the labels"
        )
    return {name: labelled for name, labelled in found.items() if labelled is not None}


def folded(name: str) -> str:
    """The name whatever its case and with spaces for `_`."""
    return name.replace("_", " ").casefold()
