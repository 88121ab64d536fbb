"""The settings of `tag`, and what the command line shows of its plan."""

from __future__ import annotations

from pathlib import Path

from clipcli.settings import Reads, Settings, as_text, record, setting

SIDECARS = {
    "auto": "the one that is beside the photo, else IMG_1.jpg.xmp",
    "full": "IMG_1.jpg.xmp, as digiKam and darktable name it",
    "stem": "IMG_1.xmp, as Lightroom does",
}


@record
class TagSettings(Settings):
    """The photos, and the keywords that they get."""

    command = "tag"

    predictions: Reads[str | Path, str] = setting(
        kw_only=False,
        group="what",
        metavar="PREDICTIONS",
        argument=True,
        missing="no PREDICTIONS were given; give the output of clipcli classify",
        reads=as_text,
        accepts="str | Path",
        noun="a path",
    )
    """An output of clipcli classify, in any of its formats, also with labels that were corrected."""

    min_score: float | None = setting(default=None, group="what", metavar="X", by_default="none")
    """Leave out labels of a lower score."""

    top_k: int | None = setting(
        default=None, group="what", metavar="K", least=1, by_default="1, or all of an image that has several labels"
    )
    """Give a photo so many of its labels, best first."""

    apply: bool = setting(default=False, group="how", one_way=True)
    """Do it. Without it the plan is shown, and no file is touched."""

    untag: bool = setting(default=False, group="how", one_way=True)
    """Take out what this command wrote before, and nothing else."""

    embed: bool = setting(default=False, group="how", one_way=True)
    """Write into the photos themselves, by ExifTool, and into no sidecars; pixels stay as they are."""

    sidecars: str = setting(default="auto", group="how", metavar="S", choices=SIDECARS, explained=True)
    """Which sidecar a photo IMG_1.jpg has."""

    under: str | None = setting(default=None, group="how", metavar="GROUP", by_default="none", rare=True)
    """Put all keywords into a group, as in auto, or auto/photos for one within another."""


@record
class PlanShown(Settings):
    """What the command line shows of the plan; a program has all of it."""

    command = "tag"

    list: bool = setting(default=False, group="output", one_way=True)
    """Print each file that changes with the labels that it gets, separated by tabs, in place of numbers alone."""
