"""The settings of `build-classifier`, and of the file that the command line writes the classifier to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clipcli.commands.shared_settings import Hardware, Labels, OneModel, Overwriting, read_labels
from clipcli.settings import record, setting


@record
class BuildClassifierSettings(Hardware, OneModel, Labels):
    """The classes, prompts and model of a classifier."""

    command = "build-classifier"

    # Here labels must be given; what they are is said where all commands have them from.
    labels: str | Path | Sequence[str] = setting(
        kw_only=False,
        group="what",
        metavar="FILE",
        missing="no labels were given; give --labels FILE",
        reads=read_labels,
    )


@record
class ClassifierFile(Overwriting):
    """Where the command line writes the classifier; a program saves it with `Classifier.save`."""

    command = "build-classifier"

    output: str = setting(default="classes.safetensors", group="output", metavar="FILE", short="-o")
    """Where the classifier goes."""
