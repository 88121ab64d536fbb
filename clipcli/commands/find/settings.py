"""The settings of `find`, and of what the command line prints and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipcli.commands.encoding_settings import Encoding
from clipcli.commands.shared_settings import IMAGES, INPUTS, ModelName, Overwriting, Reading
from clipcli.settings import AsText, AsTexts, record, setting

if TYPE_CHECKING:
    from clipcli.data.held import AsInputs

TOP = 10


@record
class FindSettings(Encoding, ModelName, Reading):
    """What to find, the images to look through, and the model."""

    command = "find"

    text: AsText = setting(default=None, kw_only=False, group="what", metavar="TEXT", argument=True)
    """Words for what the photos show, as in 'a dog on a beach'."""

    inputs: AsInputs = setting(default=(), kw_only=False, by_default="the current folder", alike=INPUTS)
    """The images to look through: folders, or whatever else clipcli classify takes."""

    like: AsInputs = setting(default=(), by_default="none", metavar="IMAGE", alike=IMAGES)
    """A photo, or a folder of photos, that the photos are like; may be repeated, and TEXT may be given as well."""

    without: AsTexts = setting(
        default=(), group="what", metavar="TEXT", flag="--not", by_default="none", noun="a text or a list of texts"
    )
    """Words for what the photos do not show; may be repeated."""

    duplicates: bool = setting(default=False, group="what", one_way=True)
    """Find photos that are there twice or nearly so, in place of TEXT: groups, the best of each first."""

    top: int | None = setting(default=None, group="output", least=1, by_default=f"{TOP}, or all with --min-score")
    """How many photos, the best first; with --duplicates how many groups."""

    min_score: float | None = setting(default=None, group="output", metavar="S", least=-1, most=1)
    """The least score, from -1 to 1. A score is a cosine: of texts and photos most often below 0.4, of photos that
    are alike near 1, and comparable within one search only."""


@record
class Found(Overwriting):
    """What the command line prints and writes; a program gets a list."""

    command = "find"

    json: bool = setting(default=False, group="output", one_way=True)
    """Print a line of JSON for each photo, with its score, in place of its path."""

    null: bool = setting(default=False, group="output", short="-0", one_way=True)
    """End each path with a byte of 0 in place of a new line, for xargs -0."""

    html: str | None = setting(default=None, group="output", metavar="FILE")
    """Also write a page of the photos found, an .html, with small pictures."""
