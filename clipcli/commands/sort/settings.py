"""The settings of `sort`, and what the command line shows of its plan."""

from __future__ import annotations

from pathlib import Path

from clipcli.settings import Reads, Settings, as_text, record, setting

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
class SortSettings(Settings):
    """The images, and where they go."""

    command = "sort"

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

    into: Reads[str | Path, str] = setting(
        group="what",
        metavar="DIR",
        missing="no folder was given; give --into DIR",
        reads=as_text,
        accepts="str | Path",
        noun="a path",
    )
    """The folder that the folders of the labels are in or come into."""

    apply: bool = setting(default=False, group="how", one_way=True)
    """Do it. Without it the plan is shown, and no file is touched."""

    by: str = setting(default="copy", group="how", metavar="WAY", choices=WAYS, explained=True)
    """How an image gets to its folder."""

    folders: str = setting(default="{label}", group="how", metavar="PATTERN")
    """The folders in DIR, as in '{label}/{year}', of {label}, {label_path}, {group}, {score}, {year}, {month} and
    {day}. The date is the one on which the photo was taken, else that of the file's last change."""

    min_score: float | None = setting(default=None, group="how", metavar="X", by_default="none")
    """Leave out labels of a lower score."""

    top_k: int | None = setting(
        default=None, group="how", metavar="K", least=1, by_default="1, or all of an image that has several labels"
    )
    """Put an image into the folders of so many of its labels, best first."""


@record
class PlanShown(Settings):
    """What the command line shows of the plan; a program has all of it."""

    command = "sort"

    list: bool = setting(default=False, group="output", one_way=True)
    """Print where each file goes, in place of the number of images in each folder."""
