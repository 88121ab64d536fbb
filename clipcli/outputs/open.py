"""Writes an output with its manifest: to a hidden file, moved into place at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from clipcli.errors import OutputChanged, OutputExists, OutputFailed
from clipcli.files.atomic import part_of, parts_of, put_in_place
from clipcli.files.locks import is_locked, lock_file
from clipcli.files.manifest import (
    COMPLETE,
    INTERRUPTED,
    Manifest,
    is_same_but_for_times,
    manifests_without_parts,
    now,
    read_manifest,
    remove_manifest,
    remove_with_manifest,
    sha256_of,
    write_manifest,
)
from clipcli.files.remote import is_remote
from clipcli.outputs import WRITERS
from clipcli.outputs.check import check_manifest, is_stream
from clipcli.outputs.remote import forget, is_there, local_path, publish
from clipcli.records import ModelRecord, Row
from clipcli.scoring.schema import Schema


class Output:
    """An output that is being written. As a context manager it puts the file in place at the end, even after an error.

    If writing itself fails, the target is not changed, and the error says where the rows so far are. With fewer than
    `at_least` rows, the number that a resumed run began with, nothing is changed either. Once the output is in place,
    the files `superseded` and their manifests are removed, except those that another run is writing.

    `manifest` records how the rows are made. It is written beside the hidden file, and at the end beside the output
    unless `keep_manifest` is false. Standard output, devices and pipes have no manifest.

    With `replaces`, the SHA-256 of a target that is brought up to date, an error leaves the target as it was, and so
    does an end with the same rows, made in the same way; rows of images that are gone may be among them.

    What goes to an address is copied there once it is whole, and until then waits in the cache folder. Without
    `can_resume`, errors do not speak of `--resume`.

    Raises `OutputFailed` if the file cannot be written, and `OutputExists` at the end if someone else made the target
    meanwhile, unless `overwrite` is true, or `OutputChanged` if they changed one that is brought up to date.
    """

    def __init__(
        self,
        output: str,
        *,
        format: str,
        schema: Schema,
        manifest: Manifest | None = None,
        keep_manifest: bool = True,
        overwrite: bool = False,
        at_least: int = 0,
        superseded: Sequence[Path] = (),
        replaces: str | None = None,
        can_resume: bool = True,
    ) -> None:
        self._output = output
        self._can_resume = can_resume and replaces is None
        self._replaces = replaces
        self._keep_manifest = keep_manifest
        self._overwrite = overwrite
        self._at_least = at_least
        self._superseded = superseded
        self._finish = WRITERS[format].finish
        self._rows = self._skipped = 0
        direct = is_stream(output)
        # The file behind a link is replaced, not the link.
        self._target = None if direct else local_path(output).resolve()
        self._part = output if self._target is None else str(part_of(self._target))
        self._manifest = None if direct else manifest
        self._failed = False
        try:
            self._writer = WRITERS[format].writer(self._part, schema=schema)
        except BrokenPipeError:
            raise
        except OSError as e:
            raise OutputFailed(f"cannot write {output}: {e.strerror}; choose another --output") from None
        self._held = None if direct else lock_file(Path(self._part))
        self._write_first_manifest()

    def _write_first_manifest(self) -> None:
        """After the file is made and before its first row, so a manifest without its file can be removed."""
        try:
            self._write_manifest()
        except OSError as e:
            self._close()
            # A file system that has become read-only keeps it; it is empty, and goes with the next run.
            with suppress(OSError):
                remove_with_manifest(Path(self._part))
            raise OutputFailed(f"cannot write {self._output}: {e.strerror}; choose another --output") from None

    def set_model(self, model: ModelRecord) -> None:
        """Record the model of the next rows in the manifest. Raises `OutputFailed`."""
        if self._manifest is not None and model != self._manifest.model:
            self._manifest = replace(self._manifest, model=model)
            try:
                self._write_manifest()
            except OSError as e:
                self._failed = True
                raise self._failure(e) from None

    def set_noticed(self, noticed: Mapping[str, Any]) -> None:
        """Record what the run has said in the manifest that is written at the end."""
        if self._manifest is not None:
            self._manifest = replace(self._manifest, noticed=noticed)

    def write(self, rows: Sequence[Row]) -> None:
        """Write and flush rows. Raises `OutputFailed`, and `BrokenPipeError` if the reader of a pipe is gone."""
        try:
            self._writer.write(rows)
        except BrokenPipeError:
            raise
        except OSError as e:
            self._failed = True
            raise self._failure(e) from None
        self._rows += len(rows)
        self._skipped += sum(row.error is not None for row in rows)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._writer.close()
            if self._replaces is not None and kind is not None:
                remove_with_manifest(Path(self._part))
            elif self._target is not None:
                self._end(Path(self._part), self._target)
        except OSError as e:
            # An error raised before this one says more, as on a full disk.
            if kind is None:
                raise self._failure(e) from None
        finally:
            if self._held is not None:
                os.close(self._held)

    def _close(self) -> None:
        """Close the file and its lock, ignoring errors."""
        with suppress(OSError):
            self._writer.close()
        if self._held is not None:
            os.close(self._held)

    def _end(self, part: Path, target: Path) -> None:
        if self._rows < self._at_least:
            remove_with_manifest(part)
            return
        if self._failed:
            return
        if self._replaces is not None and (not target.exists() or sha256_of(target) != self._replaces):
            remove_with_manifest(part)
            raise OutputChanged(f"{self._output} was changed meanwhile, as by hand, and is left so; run this again")
        if not self._overwrite and is_there(self._output):
            raise OutputExists(f"{self._output} was made by someone else meanwhile; the rows are in {part}")
        forget(self._output)
        if self._finish is None:
            self._put_in_place(part, target)
        else:
            finished = part_of(target)
            try:
                self._finish(part, finished)
                self._put_in_place(finished, target)
            finally:
                finished.unlink(missing_ok=True)
        remove_with_manifest(part)
        if is_remote(self._output) and self._is_whole():
            again = "run this again" if not self._can_resume else "--resume copies them"
            publish(self._output, again=again if self._keep_manifest else "can be copied by hand")
        for path in self._superseded:
            if not is_locked(path):
                remove_with_manifest(path)
        _sweep(target)

    def _put_in_place(self, finished: Path, target: Path) -> None:
        """Write the manifest of the output, then move the output into place.

        If the run is killed in between, the checksum shows that the new manifest is not that of the old output, and all
        rows are still in the hidden file with a manifest of their own, so `--resume` can continue. In the other order
        a complete output could be left with no manifest, or an old one, and could not be resumed.
        """
        manifest = self._manifest
        if manifest is not None and self._keep_manifest:
            try:
                check_manifest(target)
            except OutputExists as e:
                raise OutputExists(f"{e}; the rows are in {self._part}") from None
            final = replace(
                manifest,
                state=COMPLETE if self._is_whole() else INTERRUPTED,
                rows=self._rows,
                skipped=self._skipped,
                sha256=sha256_of(finished),
                finished=now(),
            )
            if self._replaces is not None and _is_as_it_was(target, final):
                finished.unlink()
                return
            write_manifest(target, final)
        put_in_place(finished, target)
        if manifest is None or not self._keep_manifest:
            remove_manifest(target)

    def _is_whole(self) -> bool:
        """True if all rows are there; of what is brought up to date there may be any number."""
        images = self._rows if self._manifest is None else self._manifest.provenance.images
        return self._replaces is not None or self._rows == images

    def _write_manifest(self) -> None:
        if self._manifest is not None:
            write_manifest(Path(self._part), self._manifest)

    def _failure(self, error: OSError) -> OutputFailed:
        where, then = "", "start again"
        if self._target is not None and not self._target.parent.is_dir():
            return OutputFailed(f"cannot write {self._output}: its folder is gone, with the rows; run this again")
        if self._target is not None:
            then = "go on with --resume" if self._can_resume else "run this again"
            if self._replaces is None and self._rows >= self._at_least:
                where = f" (the rows so far are in {self._part})"
        return OutputFailed(f"cannot write {self._output}: {error.strerror}{where}; free some space and {then}")


def _sweep(target: Path) -> None:
    """Remove what holds no rows of runs that were killed: hidden files that are empty, and manifests of none."""
    # What cannot be removed does no harm.
    with suppress(OSError):
        for part in parts_of(target):
            if not part.stat().st_size and not is_locked(part):
                remove_with_manifest(part)
        for path in manifests_without_parts(target):
            path.unlink(missing_ok=True)


def _is_as_it_was(target: Path, final: Manifest) -> bool:
    """True if the target has these rows and this manifest, but for the times."""
    former = read_manifest(target)
    if former is None or not target.exists() or sha256_of(target) != final.sha256:
        return False
    return is_same_but_for_times(former, final)
