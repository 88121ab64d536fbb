"""Reads and writes the XMP packets within photos, by ExifTool: it changes no pixels, and knows each format's way."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipcli.actions.xml_places import BadXml
from clipcli.errors import MissingExtra, install

_END = re.compile(rb"""(<\?xpacket end=["'])[rw]""")
_PROGRAM, _PACKAGE = "exiftool", "pyexiftool"


class ExifTool:
    """A running ExifTool, for many photos: starting it takes longer than a photo."""

    def __init__(self, running: Any, folder: Path) -> None:
        self._running, self._folder = running, folder
        # The suffixes, in lines below a title.
        self._formats = frozenset(running.execute("-listwf").split())

    def can_write(self, photo: str) -> bool:
        """True for a file of a format that this ExifTool can write, by its suffix."""
        return Path(photo).suffix[1:].upper() in self._formats

    def packet_of(self, photo: str) -> bytes | None:
        """The XMP packet in a photo; `None` if there is none. Raises `BadXml` if it cannot be read."""
        return self._execute(photo, "-b", "-XMP") or None

    def with_packet(self, photo: str, packet: bytes | None) -> bytes:
        """The bytes of the photo with this packet in place of the one that it has, or without one.

        The photo itself is not touched. Raises `BadXml` if ExifTool refuses, as for a format that it does not write,
        and `OSError`.
        """
        source = self._folder / "packet.xmp"
        target = self._folder / f"photo{Path(photo).suffix}"
        target.unlink(missing_ok=True)
        if packet is not None:
            source.write_bytes(packet)
        self._execute(photo, "-XMP=" if packet is None else b"-XMP<=" + os.fsencode(source), "-o", os.fsencode(target))
        data = target.read_bytes()
        written = self.packet_of(str(target))
        if _content(written or b"") != _content(packet or b""):
            raise BadXml("ExifTool wrote something else")
        return data

    def _execute(self, photo: str, *arguments: str | bytes) -> bytes:
        path = os.fsencode(Path(photo).resolve())
        if b"\n" in path:
            # An argument is a line; ExifTool only reads the photo, also by another name.
            link = self._folder / f"link{Path(photo).suffix}"
            link.unlink(missing_ok=True)
            link.symlink_to(os.fsdecode(path))
            path = os.fsencode(link)
        data: bytes = self._running.execute(*arguments, path, raw_bytes=True)
        if self._running.last_status:
            raise BadXml(_reason(self._running.last_stderr))
        return data.strip()


@contextmanager
def exiftool() -> Iterator[ExifTool]:
    """Start ExifTool, and end it. Raises as `check_exiftool`."""
    check_exiftool()
    import exiftool as package

    with (
        tempfile.TemporaryDirectory(prefix="clipcli-") as folder,
        # A user's own settings of ExifTool may give names to other tags.
        package.ExifTool(common_args=[], config_file="") as running,
    ):
        yield ExifTool(running, Path(folder))


def check_exiftool() -> None:
    """Raise `MissingExtra` if ExifTool is not installed, or the package that talks with it."""
    if importlib.util.find_spec(_PROGRAM) is None:
        raise MissingExtra(f"--embed needs {_PACKAGE}; run {install(_PACKAGE)}, or leave it out to write sidecars")
    if shutil.which(_PROGRAM) is None:
        raise MissingExtra(
            "--embed needs the program exiftool; install it, with apt install libimage-exiftool-perl or brew install"
            " exiftool or from exiftool.org, or leave --embed out to write sidecars"
        )


def _reason(said: str | bytes) -> str:
    """What ExifTool says is wrong, without its file."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    line = next((line for line in text.splitlines() if line.strip()), "an error")
    return f"ExifTool: {line.removeprefix('Error: ').split(' - ')[0]}"


def _content(packet: bytes) -> bytes:
    """A packet without what says if it may be changed in place, which formats differ in, and the blank around it."""
    return _END.sub(rb"\1", packet).strip()
