"""Standard error for what clipcli itself says, apart from what libraries write to file descriptor 2."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

from clipcli.images.silence import SILENCE


def take_standard_error() -> None:
    """Give `sys.stderr` a descriptor of its own, so that descriptor 2 may be silent while images are decoded.

    What cannot be written is lost without an error: the work goes on when the terminal was closed, or a reader such as
    `head` has gone.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    try:
        descriptor = os.dup(2)
    except OSError:
        # It is closed. None in its place would let print take standard output.
        descriptor = os.open(os.devnull, os.O_WRONLY)
    else:
        SILENCE.allowed = True
    buffer = io.BufferedWriter(_Words(descriptor, "w"))  # type: ignore[type-var]
    stream = io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", line_buffering=True)
    # rich asks the second for the size of the terminal.
    sys.stderr = sys.__stderr__ = stream  # type: ignore[misc]


def close_standard_output() -> None:
    """Let what Python still buffers for standard output go nowhere: its reader has gone."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Words(io.FileIO):
    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        try:
            # It is None where a descriptor that does not block is full.
            return super().write(data) or len(data)
        except OSError:
            return len(data)
