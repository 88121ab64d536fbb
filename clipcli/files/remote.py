"""Files of other machines, by addresses such as `s3://bucket/a.jpg`, through fsspec: read, also in part, and written.

What fsspec needs for a kind of address is a package of its own, such as `s3fs`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from clipcli.errors import ClipcliError, InputNotFound, MissingExtra, UsageError, install, one_line
from clipcli.offline import is_offline
from clipcli.records import Span

# One letter before a colon is a drive of Windows.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://")
# The packages that fsspec needs for these kinds of addresses.
_NEEDS = {"s3": "s3fs", "gs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp"}
_HTTP = ("http", "https")
# Addresses of this machine, those of its disk first.
_DISK = ("file", "local")
_HERE = (*_DISK, "memory")
# The most bytes that are read of a whole file, whatever its host says of its size.
_MOST_WHOLE, _PART = 2 << 30, 1 << 20
# What is read at once of a tar whose headers are looked through: its members may be far larger.
_HEADERS = 1 << 14


def is_remote(text: str) -> bool:
    """True for an address such as `s3://bucket/a.jpg`, and false for a path."""
    return _ADDRESS.match(text) is not None


def kind_of_address(text: str) -> str:
    """The part of an address before `://`."""
    found = _ADDRESS.match(text)
    return found[1] if found else ""


@lru_cache(maxsize=64)
def _file_system(kind: str, host: str) -> Any:
    """The file system of the addresses that begin so, made once. Raises `MissingExtra` and `UsageError`."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(f"{kind}://{host}")[0]
    except ImportError:
        package = _NEEDS.get(kind, "the package of fsspec for it")
        raise MissingExtra(f"{kind}:// needs {package}; run {install(package)}") from None
    except ValueError:
        known = ", ".join(f"{name}://" for name in _NEEDS)
        raise UsageError(f"{kind}:// is no address that can be read; give a path, or one of {known}") from None


def file_system(address: str) -> Any:
    """The file system of an address, in which it is a path. Raises `MissingExtra` and `UsageError`."""
    kind, _, rest = address.partition("://")
    if is_offline() and kind not in _HERE:
        raise UsageError(f"{address} is on another machine, and --offline is set; copy it here, or drop --offline")
    return _file_system(kind, rest.partition("/")[0])


def read_remote(address: str, span: Span | None = None) -> bytes:
    """The bytes at an address, or a part of them.

    Raises `OSError`, without a `span` also for a file that is larger than 2 GiB, or has no end.
    """
    try:
        system = _readable(address)
        if span is None:
            return _whole(system, address)
        data: bytes = system.cat_file(address, start=span.offset, end=span.offset + span.size)
    except (OSError, ClipcliError):
        raise
    # Each library raises errors of its own for a host that does not answer.
    except Exception as e:
        raise OSError(f"cannot read it: {one_line(e)}") from e
    if len(data) > span.size:
        # What came is the beginning of the file, not the part.
        raise OSError("the server sends no parts of files; copy the file here")
    return data


def _whole(system: Any, address: str) -> bytes:
    """All bytes at an address, where a host may have or send any number of them. Raises `OSError`."""
    most = _MOST_WHOLE + 1
    # Web servers need not send parts of files, and a part of a file on this disk takes the part's memory at once.
    data: bytes = (
        _in_parts(system, address, most)
        if kind_of_address(address) in (*_HTTP, *_DISK)
        else system.cat_file(address, start=0, end=most)
    )
    if len(data) == most:
        raise OSError(f"it has more than {_MOST_WHOLE >> 30} GiB; copy it here")
    return data


def _in_parts(system: Any, address: str, most: int) -> bytes:
    """The first bytes at an address, at most so many, as they come."""
    data = bytearray()
    # With a size a web server is not asked for one first.
    how = {"block_size": 0, "size": 1} if kind_of_address(address) in _HTTP else {}
    with system.open(address, "rb", **how) as file:
        while part := file.read(min(_PART, most - len(data))):
            data += part
    return bytes(data)


def _readable(address: str) -> Any:
    """The file system of an address that is to be read.

    Raises as `file_system`, and `OSError` for a pipe or a device of this machine, which could be read for ever.
    """
    system = file_system(address)
    if kind_of_address(address) in _DISK:
        from fsspec.core import strip_protocol

        check_is_file(strip_protocol(address))
    return system


def check_is_file(path: str) -> None:
    """Raise `OSError` for what is no plain file, such as a pipe: reading it could wait for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"not a file: {path}")


def open_remote(address: str) -> BinaryIO:
    """The file at an address, to look through: a little is read at a time, from where it is asked for.

    Raises `OSError`.
    """
    try:
        file: BinaryIO = _readable(address).open(address, "rb", block_size=_HEADERS, cache_type="readahead")
        return file
    except (OSError, ClipcliError):
        raise
    except Exception as e:
        raise OSError(f"cannot read it: {one_line(e)}") from e


def open_bytes(path: str) -> BinaryIO:
    """The file at a path or an address, to be read. Raises `OSError`."""
    return open_remote(path) if is_remote(path) else open(path, "rb")


def files_below(address: str) -> list[str] | None:
    """The addresses of all files below a folder, in code-point order of their parts; `None` if it is no folder.

    Raises `InputNotFound` if the host does not answer.
    """
    system = file_system(address)
    with _said_of(address):
        if not system.isdir(address):
            return None
        found = [str(system.unstrip_protocol(path)) for path in system.find(address)]
    return sorted(found, key=lambda path: path.split("/"))


def files_like(address: str) -> list[str]:
    """The addresses of the files that fit a glob, in code-point order of their parts. Raises `InputNotFound`."""
    system = file_system(address)
    with _said_of(address):
        found = [str(system.unstrip_protocol(path)) for path in system.glob(address)]
    if not found:
        raise InputNotFound(f"nothing matches {address}; check the pattern")
    return sorted(found, key=lambda path: path.split("/"))


def remote_exists(address: str) -> bool:
    """True if there is a file or a folder. Raises `InputNotFound` if the host does not answer."""
    with _said_of(address):
        return bool(file_system(address).exists(address))


def check_writable(address: str) -> None:
    """Raise `UsageError` for an address of a kind that is only read, and `MissingExtra`."""
    kind = kind_of_address(address)
    if kind in _HTTP:
        raise UsageError(f"{kind}:// is only read; write to a path, or to an s3://, gs:// or hf:// address")
    file_system(address)


def copy_here(address: str, path: Path) -> None:
    """Copy a file of any size to a path. Raises `OSError`."""
    try:
        _readable(address).get_file(address, str(path))
    except (OSError, ClipcliError):
        raise
    except Exception as e:
        raise OSError(None, one_line(e)) from e


def copy_there(path: Path, address: str) -> None:
    """Copy a file to an address, which has it once it is whole. Raises `OSError`."""
    try:
        file_system(address).put_file(str(path), address)
    except OSError:
        raise
    except Exception as e:
        raise OSError(None, one_line(e)) from e


@contextmanager
def _said_of(address: str) -> Iterator[None]:
    """Turn what a library raises about an address into `InputNotFound`."""
    try:
        yield
    except ClipcliError:
        raise
    except Exception as e:
        raise InputNotFound(f"cannot read {address}: {one_line(e)}; check the address and your access to it") from e
