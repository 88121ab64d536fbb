"""The settings of `tag`, and what the command line shows of its plan."""

from __future__ import annotations

from clipcli.commands.shared_settings import Acting, Planned
from clipcli.settings import record, setting

SIDECARS = {
    "auto": "the one that is beside the photo, else IMG_1.jpg.xmp",
    "full": "IMG_1.jpg.xmp, as digiKam and darktable name it",
    "stem": "IMG_1.xmp, as Lightroom does",
}


@record
class TagSettings(Acting):
    """The photos, and the keywords that they get."""

    command = "tag"

    untag: bool = setting(default=False, group="how", one_way=True)
    """Take out what this command wrote before, and nothing else."""

    embed: bool = setting(default=False, group="how", one_way=True)
    """Write into the photos themselves, by ExifTool, and into no sidecars; pixels stay as they are."""

    sidecars: str = setting(default="auto", group="how", metavar="S", choices=SIDECARS, explained=True)
    """Which sidecar a photo IMG_1.jpg has."""

    under: str | None = setting(default=None, group="how", metavar="GROUP", by_default="none", rare=True)
    """Put all keywords into a group, as in auto, or auto/photos for one within another."""


@record
class PlanShown(Planned):
    """What the command line shows of the plan."""

    command = "tag"
