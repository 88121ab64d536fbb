"""The settings of `merge`, and of the file it writes."""

from __future__ import annotations

from clipcli.commands.shared_settings import Overwriting
from clipcli.outputs import WRITERS
from clipcli.settings import AsTexts, Settings, record, setting


@record
class MergeSettings(Settings):
    """The parts to merge."""

    command = "merge"

    parts: AsTexts = setting(
        kw_only=False,
        group="what",
        metavar="PART",
        argument=True,
        several=True,
        missing="no PART was given; give the outputs of all shards, such as 'predictions-*-of-16.csv'",
        noun="a list of paths",
    )
    """The outputs of all shards, each with its manifest beside it; a quoted glob stands for those that match."""


@record
class MergedFile(Overwriting):
    """The file that the rows are written to."""

    command = "merge"

    output: str = setting(default="predictions.csv", group="output", metavar="FILE", short="-o")
    """Where all rows go, in the order of the inputs."""

    format: str | None = setting(
        default=None,
        group="output",
        metavar="F",
        choices={name: ", ".join(form.suffixes) for name, form in WRITERS.items()},
        by_default="by the output's suffix",
    )
    """The format of the rows."""
