"""Finds rows of earlier runs, in the output or in hidden files that killed runs left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from clipcli.errors import BadFile, OutputExists, UsageError
from clipcli.files.atomic import parts_of
from clipcli.files.locks import is_locked
from clipcli.files.manifest import Manifest, manifest_path, read_manifest, remove_with_manifest, sha256_of
from clipcli.files.remote import is_remote, remote_exists
from clipcli.outputs.differences import differences
from clipcli.outputs.read import read_begun
from clipcli.outputs.remote import fetch, local_path
from clipcli.records import Row

START_ANEW = "start anew with --overwrite in place of --resume"
UPDATE = f"bring it up to date with --update, which keeps what still holds, or {START_ANEW}"


@dataclass(frozen=True, slots=True)
class Earlier:
    """The complete rows of an earlier run.

    `path` is the file they are in, `manifest` records how they were made, and `read` reads them from the start.
    `is_output` is true if the file is the output itself. `parts` are the hidden files to remove once a run that resumes
    these rows has put its output in place. `spreadsheet_safe` says that they are written so, which they stay.
    """

    path: Path
    manifest: Manifest
    read: Callable[[], Iterator[Row]]
    is_output: bool
    parts: tuple[Path, ...]
    spreadsheet_safe: bool = False


def left_over(output: str) -> list[Path]:
    """The hidden files beside the output that killed runs left, newest first; empty if the folder cannot be listed."""
    try:
        parts = parts_of(local_path(output).resolve())
        return _newest_first(part for part in parts if part.stat().st_size and not is_locked(part))
    except OSError:
        # The folder may be one to write in and not to list; this is for information only.
        return []


def remove_left_over(parts: Iterable[Path]) -> None:
    """Remove hidden files that `left_over` found, with their manifests, unless a run is writing them by now."""
    for part in parts:
        # What cannot be removed does no harm.
        with suppress(OSError):
            if not is_locked(part):
                remove_with_manifest(part)


def keep_changed(output: str) -> Path | None:
    """Copy an output that was changed since it was written, as by corrections, to a free name beside it.

    Returns the copy; `None` if there is no output, or it is as its manifest has it, or has none.
    """
    if is_remote(output) and remote_exists(output):
        fetch(output)
    path = local_path(output)
    try:
        manifest = read_manifest(path.resolve()) if path.is_file() else None
    except (BadFile, OSError):
        return None
    if manifest is None or manifest.sha256 is None or manifest.sha256 == sha256_of(path):
        return None
    return keep_copy(path)


def keep_copy(path: Path) -> Path:
    """Copy an output to a free name beside it, and return that. Raises `OSError`."""
    names = (path.with_name(f"{path.name}.bak{n or ''}") for n in count())
    copy = next(name for name in names if not name.exists())
    shutil.copy2(path, copy)
    return copy


def find_earlier(output: str, *, format: str, top_k: int) -> Earlier | None:
    """The rows that `--resume` continues; `None` if there are none.

    Of several files the newest counts, or an older one that was made the same way, begins with the same rows and has
    more. Files of another format or `top_k` count only if there are no others.

    The caller is the output's only writer. Raises `UsageError` if the rows have no manifest, were changed since or have
    another format; `BadFile` or `OutputExists` if the output is no output of `classify`.
    """
    path = fetch(output)
    parts = parts_of(path.resolve())
    begun, refused = _begun(path, parts)
    fitting = {file: made for file, made in begun.items() if _fits(made, format=format, top_k=top_k)}
    best = _best(fitting or begun)
    reason = refused.get(path)
    if reason is not None and (best is None or _newest_first((path, best))[0] == path):
        raise reason
    if best is None:
        for reason in refused.values():
            raise reason
        return None
    if begun[best].format != format:
        raise UsageError(f"{best} was begun with --format {begun[best].format}; give that, or {UPDATE}")
    superseded = [part for part in parts if part == best or _is_start(part, best)]
    return Earlier(
        best,
        begun[best],
        partial(_rows, best),
        is_output=best == path,
        parts=tuple(superseded),
        spreadsheet_safe=_is_safe(best),
    )


def _begun(path: Path, parts: Iterable[Path]) -> tuple[dict[Path, Manifest], dict[Path, UsageError]]:
    """The manifests of the files that have rows, and the errors of those that cannot be resumed.

    The files are the output at `path` and the hidden `parts`. Raises `BadFile` or `OutputExists` if `path` is not an
    output.
    """
    begun: dict[Path, Manifest] = {}
    refused: dict[Path, UsageError] = {}
    if path.is_file() and path.stat().st_size:
        try:
            has_rows = _has_rows(path)
        except BadFile as e:
            raise BadFile(f"{e}, or {START_ANEW}") from None
        if not has_rows:
            raise OutputExists(f"{path} holds no rows to go on with; give another --output, or {START_ANEW}")
    for file in (path, *parts):
        try:
            if file.is_file() and _is_updated(file):
                raise UsageError(f"{file} is kept up to date with --update; go on with that in place of --resume")
            if file.is_file() and _has_rows(file):
                begun[file] = _manifest_of(file, is_output=file == path)
        except UsageError as e:
            refused[file] = e
    return begun, refused


def _manifest_of(file: Path, *, is_output: bool) -> Manifest:
    """The manifest of a file. Raises `UsageError` if it has none, or an output does not match its checksum."""
    manifest = read_manifest(file.resolve() if is_output else file)
    name = manifest_path(file).name
    if manifest is None:
        raise UsageError(f"{file} has no manifest ({name}), so nothing says how its rows were made; {START_ANEW}")
    if is_output and manifest.sha256 != sha256_of(file):
        raise UsageError(f"{file} is not the file that its manifest ({name}) tells of, or was changed; {UPDATE}")
    return manifest


def _fits(manifest: Manifest, *, format: str, top_k: int) -> bool:
    return manifest.format == format and manifest.provenance.settings.get("top_k") == top_k


def _best(begun: Mapping[Path, Manifest]) -> Path | None:
    """The newest file, or an older one that was made the same way, begins with the same rows and has more."""
    best: Path | None = None
    for file in _newest_first(begun):
        if best is None or (not differences(begun[best].provenance, begun[file].provenance) and _is_start(best, file)):
            best = file
    return best


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _rows(path: Path) -> Iterator[Row]:
    found = read_begun(path)
    return iter(()) if found is None else found[1]


def _is_safe(path: Path) -> bool:
    found = read_begun(path)
    return found is not None and found[0].spreadsheet_safe


def _is_updated(path: Path) -> bool:
    found = read_begun(path)
    return found is not None and found[0].has_source


def _has_rows(path: Path) -> bool:
    return next(_rows(path), None) is not None


def _is_start(path: Path, longer: Path) -> bool:
    """True if the rows of `longer` begin with all rows of `path`; false if either is no output."""
    rows = _rows(longer)
    try:
        return all(row == next(rows, None) for row in _rows(path))
    except BadFile:
        return False
