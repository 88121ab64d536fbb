"""The settings of `labels`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipcli.commands.encoding_settings import Encoding
from clipcli.commands.shared_settings import GIVEN_LABELS, IMAGES, LABELS, KeepNames, OneModel, Reading, read_labels
from clipcli.settings import Reads, record, setting

if TYPE_CHECKING:
    from clipcli.commands.shared_settings import IMAGES, GivenLabels, KeptLabels
    from clipcli.data.held import AsInputs


@record
class LabelsSettings(Encoding, OneModel, Reading, KeepNames):
    """The labels to look at, the images that they are for, and the model."""

    command = "labels"

    labels: Reads[GivenLabels | None, KeptLabels | None] = setting(
        default=None,
        kw_only=False,
        group="what",
        metavar="LABELS",
        argument=True,
        reads=read_labels,
        accepts=f"{GIVEN_LABELS} | None",
        noun=LABELS,
    )
    """The labels to look at: a file of them, or 'cat, dog, a red car'."""

    images: AsInputs = setting(default=(), by_default="none", alike=IMAGES)
    """Images that the labels are for, as classify takes them; may be repeated. With them, counts are looked at too."""

    suggest: bool = setting(default=False, group="what", one_way=True)
    """Propose labels for --images that have none, in place of looking at LABELS."""
