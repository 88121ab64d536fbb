"""The settings of `review`, and of what it writes."""

from __future__ import annotations

from clipcli.commands.encoding_settings import Decoding
from clipcli.commands.shared_settings import Predictions
from clipcli.settings import AsTexts, Settings, record, setting

# Small pictures of more photos make a page that takes long to open.
PHOTOS_IN_A_FILE = 500


@record
class ReviewSettings(Predictions, Decoding):
    """The labels to review, which photos come first, and how they are decoded to be shown."""

    command = "review"

    corrections: AsTexts = setting(default=(), group="what", metavar="FILE", by_default="none")
    """Corrections that were made before, by you or others: these photos count as reviewed; several files
    may be given."""

    max_images: int | None = setting(
        default=None, group="what", metavar="N", least=1, by_default=f"all; {PHOTOS_IN_A_FILE} with --html"
    )
    """Show the first N photos alone: the most doubtful, and those at random among them."""

    random: int = setting(default=100, group="what", metavar="N", least=0, rare=True)
    """How many photos come at random, to estimate by them how many labels are right; at most every fourth is one."""


@record
class ReviewFile(Settings):
    """Where decisions go, and how the page is shown."""

    command = "review"

    output: str = setting(default="corrections.csv", group="output", metavar="FILE", short="-o")
    """Where decisions go, each at once; a file that exists is gone on with."""

    html: str | None = setting(default=None, group="output", metavar="FILE")
    """Write one page that needs no server, to review elsewhere, in place of opening one; it saves corrections.csv as a
    download."""

    browser: bool = setting(default=True, group="output", rare=True)
    """Open the page in the browser; --no-browser only prints its address."""
