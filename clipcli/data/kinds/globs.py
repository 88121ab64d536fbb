"""A glob that the shell left alone, because it was quoted."""

from __future__ import annotations

from collections.abc import Iterator

from clipcli.data.kinds.listed import listed
from clipcli.data.patterns import glob_paths, is_glob
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True where there is a wildcard in it."""
    return is_glob(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images that the glob finds."""
    return listed(glob_paths(data.text), reading)
