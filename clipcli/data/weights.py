"""Parses weights of DATA: `photos=0.3` is the share of `photos` in every batch."""

from __future__ import annotations

import math
import os

from clipcli.errors import UsageError


def split_weight(text: str) -> tuple[str, float | None]:
    """The path and the weight of `path=0.3`.

    The weight is `None` if there is no `=`, or if the whole text is an existing path. Raises `UsageError` for a weight
    that is not a positive number.
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
