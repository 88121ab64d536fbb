"""Merges the outputs of the shards of a run: reads and checks all parts, then yields their rows in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from clipcli.commands.merge.settings import MergeSettings
from clipcli.data.patterns import expand_paths, is_glob
from clipcli.events import Event, InputsFound, RowsPlanned, RowsReady
from clipcli.files.manifest import Manifest
from clipcli.files.remote import files_like, is_remote
from clipcli.outputs.merged import (
    Part,
    allow_open_files,
    check_parts,
    merged_manifest,
    placed_rows,
    read_part,
    schema_of_parts,
)
from clipcli.outputs.noticed import as_notices, of_all
from clipcli.scoring.schema import Schema

_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Merging:
    """The parts to merge, read and checked; the `manifest` and the `schema` are those of the whole run's output."""

    parts: Sequence[Part]
    manifest: Manifest
    schema: Schema


def read(options: MergeSettings, *, format: str) -> Merging:
    """Read the manifests of all parts, for an output of this format.

    Raises `UsageError` if a part is missing, there twice, not whole, or made otherwise than the others.
    """
    paths = [path for text in options.parts for path in _expanded(text)]
    # A glob such as `part-*` fits the manifests too.
    beside = {f"{path}.json" for path in paths}
    parts = [read_part(path) for path in paths if path not in beside]
    check_parts(parts)
    allow_open_files(len(parts))
    return Merging(parts, merged_manifest(parts, format=format), schema_of_parts(parts))


def _expanded(text: str) -> Iterable[str]:
    return files_like(text) if is_remote(text) and is_glob(text) else expand_paths(text)


def run(merging: Merging) -> Iterator[Event]:
    """The rows of all parts, in the order of the run that they are parts of, and what was said of them in all.

    Raises `BadFile`.
    """
    provenance, noticed = merging.manifest.provenance, of_all([part.noticed for part in merging.parts])
    yield from as_notices(noticed.inputs).events()
    yield InputsFound(provenance.images, left_out=noticed.left_out)
    yield RowsPlanned(provenance)
    rows = (row for _, row in placed_rows(merging.parts))
    while chunk := tuple(islice(rows, _AT_ONCE)):
        yield RowsReady(chunk)
    yield from as_notices(noticed.images).events()
