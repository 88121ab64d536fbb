"""Training data: whatever one DATA names, as images with their captions in a fixed order.

The folder kinds may also lie in a `.zip`, or in a folder inside one, and are read there.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

from clipcli.data.pairs import folders, imagefolder, shards, sidecars, tables
from clipcli.data.pairs.pair import Data, Pair, PairOptions, PairsRead
from clipcli.data.sources.tree import split_archive
from clipcli.errors import InputNotFound, UsageError

__all__ = ["DATA_KINDS", "DataKind", "Pair", "PairOptions", "PairsRead", "read_pairs", "split_weight"]


@dataclass(frozen=True, slots=True)
class DataKind:
    """One kind of training data: how it is written, whether a DATA is of this kind, and its pairs."""

    written: str
    matches: Callable[[Data], bool]
    read: Callable[[Data, PairOptions], PairsRead]


# The first row that matches is taken. The last three are folders, or lie in a zip.
DATA_KINDS: dict[str, DataKind] = {
    "table": DataKind("a .csv, .tsv, .jsonl or .parquet of images and captions", tables.matches, tables.read),
    "shards": DataKind("WebDataset .tar shards", shards.matches, shards.read),
    "imagefolder": DataKind("a folder with metadata.csv or metadata.jsonl", imagefolder.matches, imagefolder.read),
    "sidecars": DataKind("a folder of images with a .txt, .caption or .json each", sidecars.matches, sidecars.read),
    "folders": DataKind("a folder of images per class", folders.matches, folders.read),
}


def read_pairs(data: str, *, options: PairOptions) -> PairsRead:
    """The pairs of one DATA, written without its weight, and what was skipped.

    Raises `InputNotFound` where there is no such data or not one pair in it, `BadFile` for a table, metadata or
    folders that do not fit, and `MissingExtra`. Whether the images that a table names are there is not looked at.
    """
    given = Data(data)
    for kind in DATA_KINDS.values():
        if kind.matches(given):
            found = kind.read(given, options)
            if not found.pairs:
                raise _without_pairs(data, found)
            return found
    raise _of_no_kind(given)


def split_weight(text: str) -> tuple[str, float | None]:
    """The path and the weight of `path=0.3`; what lies there under the whole text, or has no `=`, has no weight.

    Raises `UsageError` for a weight that is not a positive number.
    """
    path, equals, written = text.rpartition("=")
    if not equals or os.path.exists(text):
        return text, None
    try:
        weight = float(written)
    except ValueError:
        if not os.path.exists(path):
            # The = is part of a path or pattern, as in lang=en/shards-{0..9}.tar.
            return text, None
        weight = math.nan
    if not path:
        raise UsageError(f"'{text}' is a weight without a path; write the path before it, as in photos={written}")
    if not (math.isfinite(weight) and weight > 0):
        raise UsageError(f"the weight '{written}' of {path} is not a positive number; write it as in {path}=0.5")
    return path, weight


def _without_pairs(data: str, found: PairsRead) -> InputNotFound:
    if not found.skipped:
        return InputNotFound(f"no pairs found in {data}: it is empty; give data with images and captions")
    first = found.skipped[0]
    return InputNotFound(
        f"no pairs found in {data}: {len(found.skipped)} skipped, the first, {first.item.id}, for '{first.reason}';"
        " give each image a caption"
    )


def _of_no_kind(data: Data) -> InputNotFound:
    kinds = "; ".join(kind.written for kind in DATA_KINDS.values())
    if not os.path.exists(data.text) and split_archive(data.text) is None:
        return InputNotFound(f"no such data: {data.text or repr('')}; check the path")
    if data.images:
        return InputNotFound(
            f"no pairs found in {data.text}, as its images have no captions;"
            " put a .txt beside each image, or the images into a folder per class, or give a table of captions"
        )
    return InputNotFound(f"no pairs found in {data.text}; looked for {kinds}")
