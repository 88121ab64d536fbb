"""The settings of `sort`, and what the command line shows of its plan."""

from __future__ import annotations

from pathlib import Path

from clipcli.commands.shared_settings import Acting, Planned
from clipcli.settings import Reads, as_text, record, setting

WAYS = {
    "copy": "the images stay where they are as well",
    "move": "they are renamed; across file systems copied, compared and then removed",
    "hardlink": "one file with two names, which takes no space; to edit one is to edit both",
    "symlink": "a link that leads to the image, and leads nowhere once that is moved",
}
# The fields of a pattern of folders.
FIELDS = {
    "label": "the label",
    "label_path": "a folder for each of its groups, then one for the label",
    "group": "the outermost of its groups, or the label where it has none",
    "score": "a tenth, as in 0.8-0.9",
    "year": "the year in which it was taken",
    "month": "01 to 12",
    "day": "01 to 31",
}
DATES = ("year", "month", "day")


@record
class SortSettings(Acting):
    """The images, and where they go."""

    command = "sort"

    into: Reads[str | Path, str] = setting(
        group="what",
        metavar="DIR",
        missing="no folder was given; give --into DIR",
        reads=as_text,
        accepts="str | Path",
        noun="a path",
    )
    """The folder that the folders of the labels are in or come into."""

    by: str = setting(default="copy", group="how", metavar="WAY", choices=WAYS, explained=True)
    """How an image gets to its folder."""

    folders: str = setting(default="{label}", group="how", metavar="PATTERN")
    """The folders in DIR, as in '{label}/{year}', of {label}, {label_path}, {group}, {score}, {year}, {month} and
    {day}. The date is the one on which the photo was taken, else that of the file's last change."""


@record
class PlanShown(Planned):
    """What the command line shows of the plan."""

    command = "sort"
