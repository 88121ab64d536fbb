"""Notes beside an output which images are being decoded: what a run leaves if a decoder ends its process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from clipcli.files.locks import is_locked, lock_file
from clipcli.images.limits import Limits

# A place of this many bytes for each thread that decodes.
_PLACE = 1 << 12


class InHand:
    """The names of the images that threads decode now, in a file, while there is one.

    The file is written without being forced to the disk: what the system has of it outlives the process.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._lock, self._free, self._places = Lock(), list[int](), 0

    @contextmanager
    def noted_in(self, path: Path) -> Iterator[None]:
        """Keep the names in the file at `path` in a `with` block. It is removed at the end, unless the process dies.

        Nothing is noted where the file cannot be written.
        """
        held: int | None = None
        with suppress(OSError):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._free, self._places = [], 0
            held = lock_file(path)
        try:
            yield
        finally:
            with self._lock:
                opened, self._file = self._file, None
            for descriptor in filter(None, (opened, held)):
                os.close(descriptor)
            with suppress(OSError):
                path.unlink()

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """Note that this image is being decoded in a `with` block."""
        if self._file is None:
            yield
            return
        with self._lock:
            place = self._free.pop() if self._free else self._places
            self._places = max(self._places, place + 1)
        self._write(place, name.encode("utf-8", "surrogateescape")[: _PLACE - 1])
        try:
            yield
        finally:
            self._write(place, b"")
            with self._lock:
                self._free.append(place)

    def _write(self, place: int, name: bytes) -> None:
        with self._lock, suppress(OSError):
            if self._file is not None:
                os.pwrite(self._file, name + b"\0", place * _PLACE)


IN_HAND = InHand()


def note_path(output: Path) -> Path:
    """The file beside an output that holds the names of images in hand."""
    return output.with_name(f".{output.name}.decoding")


def left_in_hand(output: Path) -> list[str]:
    """The images that a run was decoding when its process ended; empty if it ended by itself, or goes on."""
    path = note_path(output)
    try:
        if is_locked(path):
            return []
        content = path.read_bytes()
    except OSError:
        return []
    places = (content[start : start + _PLACE] for start in range(0, len(content), _PLACE))
    return [name.decode("utf-8", "surrogateescape") for name in (place.partition(b"\0")[0] for place in places) if name]


@contextmanager
def noting_images(output: str, limits: Limits) -> Iterator[None]:
    """Note the images in hand beside the output in a `with` block, unless it is a stream or workers decode.

    What an earlier run noted is removed once a run has come to its end.
    """
    path = Path(output)
    note = note_path(path)
    is_file = output != "-" and (path.is_file() or not path.exists())
    if is_file and not limits.isolate and not _is_of_another_run(note):
        with IN_HAND.noted_in(note):
            yield
        return
    yield
    if is_file and not _is_of_another_run(note):
        with suppress(OSError):
            note.unlink(missing_ok=True)


def _is_of_another_run(path: Path) -> bool:
    """True if another run has locked the file, and where it cannot be told."""
    try:
        return is_locked(path)
    except OSError:
        return True
