"""One image file."""

from __future__ import annotations

import os
from collections.abc import Iterator

from clipcli.data.kinds.paths import samples_of_paths
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True if this is a file."""
    return os.path.isfile(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The file itself, whatever its suffix, as the user named it."""
    return samples_of_paths([data.text], data, reading)
