"""Bounds on what an archive may take: a small file must not become one that fills the memory.

Nothing is ever unpacked to disk: members of archives are read, by the place they have in it, and their names are names
alone. So no member can be written or read outside its archive, whatever it is called.
"""

from __future__ import annotations

import os
import struct
import zipfile
from typing import BinaryIO

from clipcli.errors import BadFile

# A member that unpacks to more than this is refused, and already one of a hundredth where it was made so small that it
# can hardly be a photo: bytes, and times its packed size.
MOST_BYTES = 2 << 30
MOST_TIMES, FROM_BYTES = 200, 64 << 20
# The list of members of a zip, which is held in memory several times over: some five million names.
MOST_OF_LIST = 512 << 20
# A header of a tar: a name, or attributes such as a resource fork.
MOST_OF_HEADER = 16 << 20
# Read at once. Of the methods other than deflate a few bytes can unpack to megabytes.
_CHUNK, _CHUNK_OF_OTHERS = 1 << 20, 1 << 12
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_LONGEST_COMMENT = (1 << 16) + 22


class TooLarge(OSError):
    """A member of an archive that is not read, since it would unpack to too much. The message is the reason."""


def checked_zip(path: str) -> zipfile.ZipFile:
    """Open a zip whose list of members is not too long. Raises `OSError`, `zipfile.BadZipFile`, and `TooLarge`."""
    size = _size_of_list(path)
    if size > MOST_OF_LIST:
        raise TooLarge(f"its list of members takes {size:,} bytes, more than {MOST_OF_LIST:,}; split it")
    try:
        return zipfile.ZipFile(path)
    # zipfile lets what it meets in a damaged list through.
    except (NotImplementedError, ValueError, IndexError, OverflowError, struct.error) as e:
        raise zipfile.BadZipFile(str(e)) from None


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member of a zip. Raises `KeyError`, `TooLarge`, and what `zipfile` raises on a damaged file."""
    member = archive.getinfo(name)
    size, packed = member.file_size, max(1, member.compress_size)
    if size > MOST_BYTES or (size > FROM_BYTES and size > MOST_TIMES * packed):
        raise TooLarge(f"it would unpack to {size:,} bytes, {size / packed:,.0f} times its size; unpack it yourself")
    plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    parts = []
    with archive.open(member) as file:
        # At most `file_size` bytes come, but `ZipFile.read` would unpack all there are before it counts them.
        while part := file.read(_CHUNK if plain else _CHUNK_OF_OTHERS):
            parts.append(part)
    return b"".join(parts)


class BoundedReads:
    """A file for `tarfile` that refuses to read a header of many megabytes into memory. Raises `BadFile`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Read so many bytes."""
        if size > MOST_OF_HEADER:
            raise BadFile(f"a header of {size:,} bytes")
        return self._file.read(size)


def _size_of_list(path: str) -> int:
    """The size of the list of members that a zip states, in bytes; 0 where it states none."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - _LONGEST_COMMENT - 1024))
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or at + 20 > len(tail):
        return 0
    (size,) = struct.unpack_from("<I", tail, at + 12)
    at = tail.rfind(_END_64, 0, at)
    if at >= 0 and at + 48 <= len(tail):
        size = max(size if size != 0xFFFFFFFF else 0, struct.unpack_from("<Q", tail, at + 40)[0])
    return int(size)
