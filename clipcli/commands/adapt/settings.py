"""The settings of `adapt`, and of the file it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipcli.commands.encoding_settings import Encoding
from clipcli.commands.shared_settings import IMAGES, LabelsOrClassifier, OneModel, Overwriting
from clipcli.settings import AsTexts, record, setting

if TYPE_CHECKING:
    from clipcli.data.held import AsInputs


@record
class AdaptSettings(Encoding, OneModel, LabelsOrClassifier):
    """The corrections, and the classifier that learns from them."""

    command = "adapt"

    corrections: AsTexts = setting(default=(), group="what", metavar="FILE", by_default="needed")
    """Files of clipcli review, path,label,reviewed_at; may be repeated, for those of several persons."""

    images: AsInputs = setting(default=(), by_default="none", alike=IMAGES)
    """Images that nobody labelled, such as all that were reviewed from; may be repeated. Where a label has a single
    correction, they tell how far to trust the text."""


@record
class AdaptedFile(Overwriting):
    """The file that the command line writes the classifier to; a program calls `Classifier.save` instead."""

    command = "adapt"

    output: str = setting(default="adapted.safetensors", group="output", metavar="FILE", short="-o")
    """Where the adapted classifier goes."""
