"""Keeps what C libraries write to standard error while they decode from the terminal: it names no file."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from threading import Lock

# How files of JPEG, PNG, GIF, WebP and BMP begin: their decoders say nothing, whatever the file.
_SILENT = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM")


class Silence(AbstractContextManager[None]):
    """A context in which file descriptor 2 leads nowhere, until the last of the threads in it has left.

    It does nothing unless `allowed`, which is for a program whose own words go to another descriptor.
    """

    def __init__(self) -> None:
        self.allowed = False
        self._lock, self._inside, self._kept = Lock(), 0, -1

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self.allowed and self._inside == 1:
                self._kept = os.dup(2)
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 2)
                os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._kept >= 0:
                os.dup2(self._kept, 2)
                os.close(self._kept)
                self._kept = -1


SILENCE = Silence()


def silence_for(data: bytes) -> AbstractContextManager[None]:
    """A silence to decode these bytes in, if their decoder may speak, as libtiff does."""
    return nullcontext() if data.startswith(_SILENT) else SILENCE
