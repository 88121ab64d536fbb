"""What is said of an update: corrections that are odd, and rows of a person that are dropped."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from clipcli.events import Warned
from clipcli.files.names import original
from clipcli.notices import Notice

# Paths of corrected rows that are dropped, as a message names them.
_SHOWN = 20
STRANGER = Notice(
    "corrected row has a label that is none of the classes",
    "corrected rows have labels that are none of the classes",
    "it is kept; add the class to the labels, or mend the row",
)
CHANGED = Notice(
    "corrected row is of a file that has changed since",
    "corrected rows are of files that have changed since",
    "the correction is kept; look at it again",
)
SEVERAL = Notice(
    "correction has several labels",
    "corrections have several labels",
    "the first was taken; --multi-label takes them all",
)
ELSEWHERE = Notice(
    "correction is of an image that is not among the inputs",
    "corrections are of images that are not among the inputs",
    "it stays in its file, and counts when the image is back",
    warns=False,
)
NOT_ASKED = Notice(
    "dropped row is of an image that is still there, but not among the inputs",
    "dropped rows are of images that are still there, but not among the inputs",
    "give all inputs to have rows of them",
)


def not_kept(paths: Sequence[str], *, corrections: Collection[str]) -> Iterator[Warned]:
    """What is to be said of dropped rows that a person corrected, by their paths.

    `corrections` are the paths of those whose corrections are in files.
    """
    if not paths:
        return
    rows = "1 corrected row is dropped" if len(paths) == 1 else f"{len(paths):,} corrected rows are dropped"
    more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    in_files = sum(original(path) in corrections for path in paths)
    stay = ""
    if in_files:
        which = "" if in_files == len(paths) else f" of {in_files:,} of them"
        stay = f"; what was said{which} stays in the files of corrections, and counts when the images are back"
    yield Warned(
        f"{rows}, {', '.join(paths[:_SHOWN])}{more}: no longer among the inputs; --keep-missing keeps such rows{stay}"
    )
