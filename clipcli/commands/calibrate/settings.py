"""The settings of `calibrate`, and of the file it writes."""

from __future__ import annotations

from pathlib import Path

from clipcli.commands.encoding_settings import Encoding
from clipcli.commands.shared_settings import LabelColumn, LabelsOrClassifier, OneModel, Overwriting
from clipcli.settings import AsText, Reads, as_text, record, setting


@record
class CalibrateSettings(Encoding, OneModel, LabelColumn, LabelsOrClassifier):
    """The labelled images, and the classifier to calibrate."""

    command = "calibrate"

    data: Reads[str | Path, str] = setting(
        kw_only=False,
        group="what",
        metavar="DATA",
        argument=True,
        missing="no DATA was given; give a folder per class, a .csv of images and labels, or a .tar",
        reads=as_text,
        accepts="str | Path",
        noun="a path",
    )
    """Images with labels, 20 or more: a folder per class, a .csv of images and labels, such as the output of clipcli
    classify with wrong labels corrected, or whatever else clipcli evaluate takes."""

    multi_label: bool = setting(default=False, group="what")
    """DATA is a table in which an image may have several labels, a list or split by ; in its column, and the scores of
    several labels are calibrated, with the threshold from which on an image has a label."""

    unknown_folder: AsText = setting(default=None, group="what", metavar="DIR")
    """Images of none of the classes: they teach the score from which on classify calls an image unknown."""


@record
class CalibratedFile(Overwriting):
    """The file that the command line writes the classifier to; a program calls `Classifier.save` instead."""

    command = "calibrate"

    output: str = setting(default="calibrated.safetensors", group="output", metavar="FILE", short="-o")
    """Where the calibrated classifier goes."""
