"""A `.zip` of images, a folder inside one (`data.zip/val`) or one image of it, read in place."""

from __future__ import annotations

from collections.abc import Iterator

from clipcli.data.kinds import folders
from clipcli.data.kinds.listed import listed
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data, split_zip
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True where some leading part of the path is a zip file."""
    return split_zip(data.text) is not None


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images in the zip below the folder named, sorted by the parts of their paths."""
    return listed([data.text], reading) if data.is_one_file else folders.samples(data, reading)
