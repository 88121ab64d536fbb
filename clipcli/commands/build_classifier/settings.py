"""The settings of `build-classifier`, and of the file it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipcli.commands.encoding_settings import Decoding, Hardware
from clipcli.commands.shared_settings import GIVEN_LABELS, LABELS, Labels, OneModel, Overwriting, read_labels
from clipcli.settings import AsTexts, Reads, record, setting

if TYPE_CHECKING:
    from clipcli.commands.shared_settings import GivenLabels, KeptLabels


@record
class BuildClassifierSettings(Hardware, Decoding, OneModel, Labels):
    """The classes, prompts and model of a classifier."""

    command = "build-classifier"

    # As in `Labels`, which has the help, but required.
    labels: Reads[GivenLabels, KeptLabels] = setting(
        kw_only=False,
        group="what",
        metavar="LABELS",
        missing="no labels were given; give --labels FILE, or --labels 'cat, dog, a red car'",
        reads=read_labels,
        accepts=GIVEN_LABELS,
        noun=LABELS,
    )

    refine_on: AsTexts = setting(default=(), group="how", metavar="DATA", by_default="none")
    """Images without labels, as classify takes them, to refine the classifier on."""

    vocabulary: bool = setting(default=False, group="what", rare=True)
    """Add the common words by which classify tells unknown images, and several labels of an image."""


@record
class ClassifierFile(Overwriting):
    """The file that the command line writes the classifier to; a program calls `Classifier.save` instead."""

    command = "build-classifier"

    output: str = setting(default="classes.safetensors", group="output", metavar="FILE", short="-o")
    """Where the classifier goes."""
