"""A zip of images, a folder in a zip (`data.zip/val`), or one image of it, read in place."""

from __future__ import annotations

from collections.abc import Iterator

from clipcli.data.kinds import folders
from clipcli.data.kinds.paths import samples_of_paths
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data, split_zip
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True if the path or a leading part of it is a zip file."""
    return split_zip(data.text) is not None


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images below the folder in the zip, sorted by the parts of their paths."""
    return samples_of_paths([data.text], data, reading) if data.is_one_file else folders.samples(data, reading)
