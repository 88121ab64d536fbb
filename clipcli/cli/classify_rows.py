"""Writes the rows of `clipcli classify` as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from clipcli.cli.classify_summary import Summary
from clipcli.cli.garbage import Show
from clipcli.commands.classify.settings import ClassifySettings, RowsFile
from clipcli.events import (
    Counted,
    Event,
    InputsFound,
    ModelKnown,
    ModelLoaded,
    Noted,
    RowsPlanned,
    RowsReady,
    Updated,
    Warned,
)
from clipcli.files.manifest import Manifest, now
from clipcli.outputs.earlier import Earlier, keep_changed, keep_copy, left_over
from clipcli.outputs.noticed import Noticed, for_manifest, of_manifest
from clipcli.outputs.open import Output
from clipcli.outputs.remote import local_path
from clipcli.records import ModelRecord, Provenance, Row

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.commands.classify.update import Update
    from clipcli.commands.merge.settings import MergedFile

# Rows that are written together in an update: a Parquet file depends on it, and must not change if its rows do not.
_TOGETHER = 1024


class RowsOutput:
    """Writes the rows of a run to the output, which is opened with the first of them.

    Whether it may replace an existing file is decided now, not when it is opened. In an update so many rows are written
    at a time, and a copy is kept of an output that loses corrected rows. The `model` is set once it is known.
    """

    def __init__(
        self,
        file: RowsFile,
        settings: ClassifySettings,
        *,
        format: str,
        earlier: Earlier | None = None,
        update: Update | None = None,
    ) -> None:
        self._open = _output_opener(file, earlier, format=format, update=update)
        self._settings, self._format, self._update = settings, format, update
        # Of a resumed run, all rows may be there already.
        self.is_there = earlier is not None and earlier.is_output
        self._former = update.former if update else None
        former = self._former
        # An output that is safe stays so.
        was_safe = former.schema.spreadsheet_safe if former else earlier is not None and earlier.spreadsheet_safe
        self._safe = file.spreadsheet_safe or settings.untrusted or was_safe
        before = earlier.manifest if earlier else former.manifest if former else None
        # A shard, which alone has notices, is never updated.
        noticed = of_manifest(earlier.manifest.noticed, earlier.path) if earlier else Noticed()
        self._begun = earlier.manifest.begun if earlier else now()
        self._model = before.model if before else None
        self._noticed = Noticed(images=noticed.images)
        self._output: Output | None = None
        self._waiting: list[Row] = []

    def set_model(self, record: ModelRecord | None) -> None:
        """Record the model of the next rows."""
        self._model = _latest_model(self._model, record)
        if self._output and self._model:
            self._output.set_model(self._model)

    def open(self, stack: ExitStack, provenance: Provenance, *, at_least: int) -> None:
        """Open the output, to be closed by the stack, unless it is open."""
        from clipcli.commands.classify.several import schema_of

        if self._output is None:
            schema = schema_of(self._settings, provenance, has_source=self._update is not None)
            schema = replace(schema, spreadsheet_safe=self._safe)
            manifest = Manifest(provenance=provenance, model=self._model, format=self._format, begun=self._begun)
            self._output = stack.enter_context(self._open(schema=schema, manifest=manifest, at_least=at_least))
            self._record()
            # Before the output is closed, also if the run is stopped.
            stack.callback(self._write_rest)

    def note(self, event: Event, *, planned: bool) -> None:
        """Keep what is said of the inputs, before the rows are planned, and then of the images."""
        noticed = self._noticed
        match event:
            case InputsFound():
                self._noticed = replace(noticed, left_out=event.left_out)
            case Warned(counted=Counted() as counted) | Noted(counted=Counted() as counted) if planned:
                self._noticed = replace(noticed, images=(*noticed.images, counted))
            case Warned(counted=Counted() as counted) | Noted(counted=Counted() as counted):
                self._noticed = replace(noticed, inputs=(*noticed.inputs, counted))
            case _:
                return
        self._record()

    def _record(self) -> None:
        """Keep what was said in the manifest of a shard, so that a merge can say it."""
        if self._output and self._settings.shard is not None:
            self._output.set_noticed(for_manifest(self._noticed))

    def write(self, rows: Sequence[Row]) -> None:
        """Write more rows."""
        self._waiting += rows
        together = len(self._waiting) if self._update is None else _TOGETHER
        while self._output and self._waiting and len(self._waiting) >= together:
            part, self._waiting = self._waiting[:together], self._waiting[together:]
            self._output.write(part)

    def _write_rest(self) -> None:
        if self._waiting and self._output:
            self._output.write(self._waiting)

    def warnings(self, updated: Updated) -> Iterator[Warned]:
        """Keep a copy of an output that loses rows of a person, and say so."""
        if updated.loses and self._former is not None:
            kept = keep_copy(self._former.path)
            what = "rows of images that are gone may be ones that a person corrected"
            yield Warned(f"{what}; {self._former.path} is kept as {kept}")


def _output_opener(
    file: RowsFile, earlier: Earlier | None, *, format: str, update: Update | None
) -> Callable[..., Output]:
    """A function that opens the output, once its schema and manifest are known."""
    former = update.former if update else None
    return partial(
        Output,
        file.output,
        format=format,
        keep_manifest=file.manifest,
        overwrite=file.overwrite or former is not None or (file.resume and local_path(file.output).exists()),
        superseded=earlier.parts if earlier else left_over(file.output) if update else (),
        replaces=former.sha256 if former else None,
    )


def write_rows(events: Iterator[Event], rows: RowsOutput, summary: Summary, display: Display, *, show: Show) -> None:
    """Write the rows as they come, and show all events. The output is opened when the first rows come.

    Nothing is written if the output is complete already.
    """
    provenance: Provenance | None = None
    with ExitStack() as stack:
        for event in events:
            match event:
                case InputsFound(count, earlier_rows) if 0 < earlier_rows < count:
                    display.say(f"Going on after {earlier_rows:,} of {count:,} images.")
                case RowsPlanned():
                    provenance = event.provenance
                case ModelLoaded() | ModelKnown():
                    rows.set_model(event.record)
                case RowsReady() if provenance and not (rows.is_there and summary.is_complete()):
                    rows.open(stack, provenance, at_least=summary.earlier)
                    rows.write(event.rows)
                case Updated():
                    for warning in rows.warnings(event):
                        show(warning)
            rows.note(event, planned=provenance is not None)
            summary.add(event)
            show(event)
        if provenance and not provenance.images:
            # A shard may have no image; merging it needs a file all the same.
            rows.open(stack, provenance, at_least=0)


def keep_corrections(file: RowsFile | MergedFile, display: Display) -> None:
    """Keep an output that would be replaced, if it was changed by hand."""
    kept = keep_changed(file.output) if file.overwrite else None
    if kept is not None:
        display.show(Warned(f"{file.output} was changed since it was written, as by hand; it is kept as {kept}"))


def _latest_model(model: ModelRecord | None, latest: ModelRecord | None) -> ModelRecord | None:
    """The latest record of the model; if it had nothing to encode, it keeps the device of the record before."""
    if model is None or latest is None or latest.device is not None:
        return latest or model
    return replace(latest, device=model.device)
