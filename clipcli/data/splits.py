"""Tells folders of splits, such as `train` and `val`, from folders of classes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from clipcli.errors import UsageError, some_of

# Usual names of the splits of a data set, those to evaluate on first.
SPLITS = ("val", "validation", "valid", "test", "testing", "dev", "eval", "train", "training")
_OF_A_SPLIT = re.compile(rf"(?:{'|'.join(SPLITS)})(?:[-_ ]?(?:\d+|set|images))?", re.IGNORECASE)


def refuse_two_deep(where: str, images: Sequence[tuple[str, str]], *, first: Iterable[str] = SPLITS) -> None:
    """Raise `UsageError` if all images lie two folders deep below `where`, so that the top folders are no classes.

    An image is its folder and its path within the data. `first` are the names of splits to point to, best first.
    """
    if not images or not all(path.count("/") > 1 and path.startswith(f"{folder}/") for folder, path in images):
        return
    folders = sorted({folder for folder, _ in images})
    inside = next((name for name in first if name in folders), folders[0])
    raise UsageError(
        f"{where}: its images lie two folders deep, below {some_of(folders)}; did you mean"
        f" {os.path.join(where, inside)}? If these are the classes, name them with --labels FILE"
    )


def refuse_several(where: str, folders: Iterable[str | None]) -> None:
    """Raise `UsageError` if the folders of all images are those of several splits: they would be taken as one."""
    found = sorted({folder or "" for folder in folders})
    if len(found) > 1 and all(map(_OF_A_SPLIT.fullmatch, found)):
        trained = next((name for name in found if "train" in name.lower()), found[0])
        raise UsageError(
            f"{where} holds several splits, {some_of(found)}; give one of them, as in {os.path.join(where, trained)}"
        )
