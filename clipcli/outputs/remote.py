"""Outputs on other machines: written in the cache folder, as outputs are, and copied to their address once whole.

So a run that was killed or stopped goes on with `--resume` on the same machine, and an address never has half an
output.

What is in the cache folder is either rows that wait to be copied, or a copy of what the address has, with a mark beside
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipcli.errors import InputNotFound, OutputFailed, UsageError
from clipcli.files.locks import only_writer
from clipcli.files.manifest import COMPLETE, manifest_path, read_manifest
from clipcli.files.remote import check_writable, copy_here, copy_there, is_remote, remote_exists
from clipcli.memory.cache import cache_path


def local_path(output: str) -> Path:
    """The file that an output is written as: itself, or for an address one in the cache folder."""
    if not is_remote(output):
        return Path(output)
    digest = hashlib.blake2b(output.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return cache_path().parent / "remote" / digest / output.rpartition("/")[2]


def prepare(output: str) -> None:
    """Check that an address can be written to, and make the folder for its file here.

    Raises `UsageError` for an address that is only read, `MissingExtra`, and `OutputFailed`.
    """
    check_writable(output)
    if not output.rpartition("/")[2]:
        raise UsageError(f"{output} is a folder; give a file in it, such as {output}predictions.csv")
    try:
        local_path(output).parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputFailed(f"cannot write in {local_path(output).parent}: {e.strerror}; free it") from None


@contextmanager
def writing(output: str) -> Iterator[None]:
    """Keep other runs of this machine from writing an output, as `only_writer`, also one at an address.

    Raises as `prepare` and `only_writer`.
    """
    if is_remote(output):
        prepare(output)
    with only_writer(str(local_path(output)), called=output):
        yield


def is_there(output: str) -> bool:
    """True if the output exists, where it is to be. Raises `InputNotFound` if its host does not answer."""
    return remote_exists(output) if is_remote(output) else Path(output).exists()


def fetch(output: str) -> Path:
    """Copy an output at an address here, with its manifest; returns the path. A path is returned as it is.

    Rows that wait to be copied there are left. A copy of what is no longer there is removed. Raises `InputNotFound`.
    """
    path = local_path(output)
    if not is_remote(output) or waits(output):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    _mark(path).touch()
    for address, file in ((output, path), (f"{output}.json", manifest_path(path))):
        try:
            if remote_exists(address):
                copy_here(address, file)
            else:
                file.unlink(missing_ok=True)
        except OSError as e:
            raise InputNotFound(f"cannot read {address}: {e.strerror or e}; check your access to it") from None
    return path


def waits(output: str) -> bool:
    """True if rows of an output at an address are here, and were not copied there."""
    path = local_path(output)
    return is_remote(output) and path.is_file() and not _mark(path).exists()


def forget(output: str) -> None:
    """Remove the copy of an output at an address, if there is one; rows that wait to be copied are left."""
    path = local_path(output)
    if is_remote(output) and _mark(path).exists():
        path.unlink(missing_ok=True)
        manifest_path(path).unlink(missing_ok=True)
        _mark(path).unlink()


def settle(output: str) -> None:
    """Copy rows that wait to their address, if they are whole, and remove a copy of it. Raises `OutputFailed`."""
    forget(output)
    if waits(output):
        manifest = read_manifest(local_path(output))
        if manifest is not None and manifest.state == COMPLETE:
            publish(output)


def publish(output: str, *, again: str = "--resume copies them") -> None:
    """Copy a whole output to its address, its manifest first, and remove it here.

    Raises `OutputFailed`, which says by `again` what to do.
    """
    path = local_path(output)
    manifest = manifest_path(path)
    try:
        if manifest.exists():
            copy_there(manifest, f"{output}.json")
        copy_there(path, output)
    except OSError as e:
        raise OutputFailed(f"cannot write {output}: {e.strerror or e}; the rows are in {path}, and {again}") from None
    path.unlink()
    manifest.unlink(missing_ok=True)


def _mark(path: Path) -> Path:
    """The file that says that the one beside it is a copy of what its address has."""
    return path.with_name(f".{path.name}.copy")


def parts_folder(output: str) -> Path:
    """The folder beside an output in which the parts of a run on a cluster are, until it is whole."""
    path = local_path(output)
    return path.with_name(f"{path.name}.parts")


def remove_parts(output: str) -> None:
    """Remove the parts of an output that is whole, and their folder if nothing else is in it."""
    folder = parts_folder(output)
    if folder.is_dir():
        for path in folder.glob("part-*.parquet*"):
            path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
