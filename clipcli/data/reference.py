"""Reads the bytes of a reference: a file, a member of a zip or a shard, or a Parquet cell."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any, BinaryIO

from clipcli.data.archives import checked_zip, read_member
from clipcli.files.identity import state_of
from clipcli.files.remote import check_is_file, is_remote, open_bytes, read_remote
from clipcli.records import WHOLE, Cell, Content, Frame, Held, Reference, Span

DIGEST_SIZE = 16
# The number of zip files that a process keeps open: an input, or a table, seldom refers to more.
_ZIPS_KEPT = 8
# A row group may hold a hundred images or more. This many are kept, for the images that are read next.
_ROW_GROUPS_KEPT = 4


class NoImage(Exception):
    """There is no image to read, as with a reference of kind `nothing`. The message is the reason, in a few words."""


class NoFrame(NoImage):
    """The file has fewer frames than were asked for."""

    def __init__(self) -> None:
        super().__init__("fewer frames than were asked for")


def read(reference: Reference) -> bytes:
    """The bytes that the reference points to.

    Raises `OSError` if they do not exist, `NoImage` for a reference of kind `nothing`, and whatever `zipfile` or
    pyarrow raise on a damaged file.
    """
    return READERS[reference.kind](reference.path, reference.member)


def content_of(reference: Reference) -> Content:
    """The bytes of an image, or the image that a program holds. Raises as `read`."""
    return reference.member if isinstance(reference.member, Held) else read(reference)


def digest_of(data: bytes, frame: Frame = WHOLE) -> bytes:
    """The BLAKE2b hash of an image's bytes, `DIGEST_SIZE` bytes long; of one of several frames another one each."""
    person = b"" if frame == WHOLE else f"{frame.number} of {frame.of}".encode()[: hashlib.blake2b.PERSON_SIZE]
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE, person=person).digest()


def no_image(reason: str) -> Reference:
    """A reference for a row or entry without an image; reading it raises `NoImage` with the reason."""
    return Reference("nothing", member=reason)


@contextmanager
def sequential_reader() -> Iterator[Callable[[Reference], bytes]]:
    """A `read` that keeps the file of the last span open, for reading many small spans of a shard in order.

    It is for one thread. The file is closed at the end of the context.
    """
    with ExitStack() as stack:
        path: str | None = None
        file: BinaryIO | None = None

        def read_next(reference: Reference) -> bytes:
            nonlocal path, file
            if not isinstance(reference.member, Span) or reference.path is None:
                return read(reference)
            if file is None or path != reference.path:
                stack.close()
                path, file = reference.path, stack.enter_context(open_bytes(reference.path))
            return _span_in(file, path, reference.member)

        yield read_next


def open_zip(path: str) -> zipfile.ZipFile:
    """The zip file, opened once for all threads of a process; they may read from it at the same time.

    It is opened again if it changed. Raises `OSError` and `zipfile.BadZipFile`.
    """
    # A forked process must not share a position in an open file with its parent.
    return _opened_zip(os.getpid(), path, state_of(path))


@lru_cache(maxsize=_ZIPS_KEPT)
def _opened_zip(_process: int, path: str, _state: tuple[int, ...]) -> zipfile.ZipFile:
    # A zip that drops out of the cache is closed by its destructor, when no thread uses it any more.
    return checked_zip(path)


def _read_file(path: str, _: None) -> bytes:
    if is_remote(path):
        return read_remote(path)
    check_is_file(path)
    with open(path, "rb") as file:
        return file.read()


def _read_zip(path: str, name: str) -> bytes:
    try:
        # ZipFile serialises its reads by itself.
        return read_member(open_zip(path), name)
    except KeyError:
        raise OSError(f"{path} has changed since it was listed: it holds no {name}") from None


def _read_span(path: str, span: Span) -> bytes:
    if is_remote(path):
        data = read_remote(path, span)
        if len(data) < span.size:
            raise OSError(f"truncated: {path} has changed since it was listed")
        return data
    # Opened for this read alone, since several threads read at once.
    with open(path, "rb") as file:
        return _span_in(file, path, span)


def _span_in(file: BinaryIO, path: str, span: Span) -> bytes:
    file.seek(span.offset)
    data = file.read(span.size)
    if len(data) < span.size:
        raise OSError(f"truncated: {path} has changed since it was listed")
    return data


def _read_cell(path: str, place: Cell) -> bytes:
    """The bytes in a Parquet cell, or of the file beside the table that it names, as in Hugging Face data sets."""
    group = _row_group(path, state_of(path), place.row_group, place.column)
    cell = group[place.row].as_py()
    data, name = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
    if isinstance(data, bytes):
        return data
    if not isinstance(name, str):
        raise OSError("no image in the cell")
    return _read_file(os.path.join(os.path.dirname(path), name), None)


@lru_cache(maxsize=_ROW_GROUPS_KEPT)
def _row_group(path: str, _state: tuple[int, ...], group: int, column: str) -> Any:
    """The image column of one row group; the last few are kept while the file does not change."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read_row_group(group, columns=[column]).column(column)


def _read_bytes(_: None, data: bytes) -> bytes:
    return data


def _read_nothing(_: None, reason: str) -> bytes:
    raise NoImage(reason)


# Functions from a reference's path and member to its bytes, by the reference's kind.
READERS: dict[str, Callable[[Any, Any], bytes]] = {
    # The file at `path`, which may be an address such as `s3://bucket/a.jpg`; so may the path of a span.
    "file": _read_file,
    # The entry called `member` of the zip file at `path`.
    "zip": _read_zip,
    # A `Span` of the file at `path`.
    "span": _read_span,
    # A `Cell` of the Parquet file at `path`.
    "cell": _read_cell,
    # The same, for a row group in which some cells may name a file in place of holding bytes.
    "cell or file": _read_cell,
    # The bytes in `member` itself.
    "bytes": _read_bytes,
    # No image; `member` is the reason.
    "nothing": _read_nothing,
}
