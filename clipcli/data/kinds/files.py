"""One image file."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.data.kinds.listed import listed
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True where this is a file."""
    return os.path.isfile(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The file itself, whatever its suffix: it was asked for by name."""
    return listed([data.text], reading)
