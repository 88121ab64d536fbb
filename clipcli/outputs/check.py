"""Checks an output before any work is done: its format, and that it can be written."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from clipcli.errors import MissingExtra, OutputExists, OutputFailed, UsageError, install, unknown
from clipcli.files.atomic import part_of
from clipcli.files.manifest import has_foreign_manifest, manifest_path
from clipcli.files.remote import is_remote
from clipcli.outputs import STDOUT, WRITERS
from clipcli.outputs.remote import is_there, local_path, prepare, waits

# What outputs are that have one format, and how their names end.
PAGE, CORRECTIONS, CLASSIFIER = "a page", "a table of corrections", "a classifier"
_SUFFIXES = {PAGE: (".html", ".htm"), CORRECTIONS: (".csv",), CLASSIFIER: (".safetensors",)}


def choose_format(output: str, requested: str | None) -> str:
    """The name of the format: the requested one, else by the output's suffix, else CSV on standard output.

    Raises `UnknownName` for an unknown format, `UsageError` if the suffix has none or the format cannot be streamed,
    and `MissingExtra`.
    """
    if requested is not None and requested not in WRITERS:
        raise unknown("format", requested, WRITERS)
    suffix = Path(output).suffix.lower()
    by_suffix = [name for name, form in WRITERS.items() if suffix in form.suffixes]
    name = requested or ("csv" if output == STDOUT else next(iter(by_suffix), None))
    if name is None and (output.endswith(("/", os.sep)) or os.path.isdir(output)):
        raise UsageError(f"{output} is a folder; give a file in it, such as {os.path.join(output, 'predictions.csv')}")
    if name is None:
        raise UsageError(f"the format of {output} is not clear from its name; give --format {' or '.join(WRITERS)}")
    if not WRITERS[name].can_stream and is_stream(output):
        to = "standard output" if output == STDOUT else f"{output}, which is no plain file"
        raise UsageError(f"{name} cannot go to {to}; give --output FILE")
    needs = WRITERS[name].needs
    if needs and importlib.util.find_spec(needs) is None:
        raise MissingExtra(f"{name} needs {needs}; run {install(needs)}, or use --format csv")
    return name


def check_suffix(output: str, kind: str, *, flag: str = "--output") -> None:
    """Raise `UsageError` if the name of an output of this kind, as `PAGE`, ends as if it were of another.

    `flag` is the setting that names it.
    """
    start, suffix = os.path.splitext(output)
    if suffix.lower() not in _SUFFIXES[kind]:
        usual = _SUFFIXES[kind][0]
        raise UsageError(f"{flag} {output} does not end in {usual}, and is {kind}; give {flag} {start}{usual}")


def check_output(
    output: str,
    *,
    overwrite: bool,
    resume: bool | None = None,
    manifest: bool = False,
    addresses: bool = False,
    flag: str = "--output",
) -> None:
    """Check that the output can be written, now rather than after an hour of work.

    `resume` is `None` for commands without `--resume`. `manifest` is true if a manifest will be written beside it.
    With `addresses` it may be one, such as `s3://bucket/rows.csv`. `flag` is the setting that names the output.

    Raises `UsageError` for a folder, a missing folder or options that exclude each other, `OutputExists` for an
    existing file without `overwrite` or `resume`, and `OutputFailed` if the folder is not writable.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with the rows there are, --overwrite starts anew; drop one of them")
    if resume and is_stream(output):
        raise UsageError(f"--resume needs an output that can be read again, which {output} cannot; give --output FILE")
    if output == STDOUT:
        if sys.stdout is None:
            raise OutputFailed("standard output is closed; give --output FILE")
        return
    _check_address(output, addresses=addresses, flag=flag)
    path = local_path(output)
    if path.is_dir():
        raise UsageError(f"{output} is a folder; give a file in it")
    if is_stream(output):
        return
    if not overwrite and not resume:
        _check_is_new(output, can_resume=resume is not None, flag=flag)
    _check_folder(path, flag=flag)
    if manifest:
        check_manifest(path.resolve())


def _check_is_new(output: str, *, can_resume: bool, flag: str) -> None:
    if is_there(output):
        others = ", --update to bring it up to date, --resume to go on with its rows" if can_resume else ""
        raise OutputExists(f"{output} exists; give another {flag}{others}, or --overwrite to replace it")
    # What merge has left it makes anew.
    if can_resume and waits(output):
        raise OutputExists(
            f"{local_path(output)} has rows that are not at {output} yet; give --resume to go on with them, or"
            " --overwrite to start anew"
        )


def _check_address(output: str, *, addresses: bool, flag: str) -> None:
    if is_remote(output):
        if not addresses:
            raise UsageError(f"{flag} {output} is an address, and only rows of a new run go to one; give a path")
        prepare(output)


def check_page(path: str, reads: Iterable[object], *, overwrite: bool, flag: str) -> None:
    """Check that a page can be written, before any work is done; `reads` are what the command reads or writes.

    Raises `UsageError`, `OutputExists` and `OutputFailed`.
    """
    check_is_not_read(path, reads, flag=flag)
    check_suffix(path, PAGE, flag=flag)
    check_output(path, overwrite=overwrite, flag=flag)


def check_classifier(output: str, reads: Iterable[object], *, overwrite: bool) -> None:
    """Check that a classifier can be written, as `check_page`."""
    if output == STDOUT:
        raise UsageError("a classifier cannot go to standard output; give --output FILE")
    check_is_not_read(output, reads)
    check_suffix(output, CLASSIFIER)
    check_output(output, overwrite=overwrite)


def check_is_not_read(output: str | Path, reads: Iterable[object], *, flag: str = "--output") -> None:
    """Raise `UsageError` if the output is one of the files that the command reads, under any name or link of it.

    `reads` are paths; a folder stands for the files directly in it, as of a model. What is no path is passed over.
    """
    if output == STDOUT or not os.path.isfile(output):
        return
    target = os.stat(output)
    for path in filter(None, reads):
        if isinstance(path, str | Path) and _is_or_holds(path, target):
            raise UsageError(f"{flag} {output} is read by this command, and would be written over; give another")


def _is_or_holds(path: str | Path, target: os.stat_result) -> bool:
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(path) as entries:
                return any(os.path.samestat(entry.stat(), target) for entry in entries if entry.is_file())
        return os.path.samestat(found, target)
    except (OSError, ValueError):
        # There is no such file, so that it is not the output; a text may be no path at all.
        return False


def check_manifest(target: Path) -> None:
    """Raise `OutputExists` if a file that is no manifest has the name of the output's manifest."""
    if has_foreign_manifest(target):
        raise OutputExists(
            f"{manifest_path(target)} is where the manifest goes, and is none; move it, or give another --output or "
            "--no-manifest"
        )


def _check_folder(path: Path, *, flag: str) -> None:
    target = path.resolve()
    if not target.parent.is_dir():
        raise UsageError(f"no folder {path.parent} to write {path.name} in; make it first")
    part = part_of(target)
    try:
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as e:
        raise OutputFailed(f"cannot write in {path.parent}: {e.strerror}; choose another {flag}") from None


def is_stream(output: str) -> bool:
    """True for standard output, and for an existing device or pipe."""
    path = Path(output)
    return output == STDOUT or (path.exists() and not path.is_file() and not path.is_dir())
