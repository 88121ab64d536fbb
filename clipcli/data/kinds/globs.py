"""A glob that the shell did not expand, because it was quoted."""

from __future__ import annotations

from collections.abc import Iterator

from clipcli.data.kinds.paths import samples_of_paths
from clipcli.data.patterns import glob_paths, is_glob
from clipcli.data.samples import Reading, Sample
from clipcli.data.tree import Data
from clipcli.records import Skipped


def matches(data: Data) -> bool:
    """True if the text has a wildcard."""
    return is_glob(data.text)


def samples(data: Data, reading: Reading) -> Iterator[Sample | Skipped]:
    """The images that match the glob. Raises `InputNotFound` if nothing matches."""
    return samples_of_paths(glob_paths(data.text), data, reading)
