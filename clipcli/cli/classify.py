"""`clipcli classify`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.columns import printable
from clipcli.cli.flags import Given, Terminal, flags_of, settings_of
from clipcli.cli.garbage import Show, left_alone
from clipcli.commands.classify.settings import ClassifySettings, RowsFile
from clipcli.errors import UsageError
from clipcli.events import (
    ClassesEncoded,
    Event,
    InputsFound,
    ModelKnown,
    ModelLoaded,
    Noted,
    RowsPlanned,
    RowsReady,
    Warned,
)
from clipcli.files.manifest import Manifest, now
from clipcli.outputs import STDOUT
from clipcli.outputs.check import check_output, choose_format
from clipcli.outputs.earlier import Earlier, find_earlier, left_over
from clipcli.outputs.open import Output
from clipcli.records import ModelRecord, Provenance, Row
from clipcli.scoring.schema import Schema
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from clipcli.cli.display import Display

_LABELS_SHOWN = 20
_SKIPPED_SHOWN = 3
_BAR_WIDTH = 28
_LABEL_WIDTH = 40


@flags_of(ClassifySettings, RowsFile)
def command(given: Given, terminal: Terminal) -> int:
    """Label images: one row for each, in order, with its best labels and their scores.

    An image that cannot be read gets a row with the reason, and the command ends with exit code 3.
    """
    settings, file = settings_of(given, terminal, ClassifySettings, RowsFile)
    if terminal.show_config:
        print(to_yaml(settings, file), end="")
        return exit_codes.DONE
    chosen = choose_format(file.output, file.format)
    _check_is_no_input(file.output, settings.inputs)
    check_output(file.output, overwrite=file.overwrite, resume=file.resume, manifest=file.manifest)
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, left_alone(display.show) as show:
        earlier = _earlier(file, display, format=chosen, top_k=settings.top_k)
        summary = _Summary(file.output)
        opened = partial(
            Output,
            file.output,
            format=chosen,
            keep_manifest=file.manifest,
            overwrite=file.overwrite or (file.resume and Path(file.output).exists()),
            superseded=earlier.parts if earlier else (),
        )
        # Loading torch takes seconds: all that can be checked without it was.
        from clipcli.commands.classify.run import run

        try:
            events = run(settings, earlier=earlier)
            _write(
                events,
                summary,
                display,
                show=show,
                earlier=earlier,
                opened=opened,
                format=chosen,
                top_k=settings.top_k,
            )
        except KeyboardInterrupt:
            summary.interrupted = True
    summary.tell(display)
    return summary.exit_code()


def _check_is_no_input(output: str, inputs: Sequence[str]) -> None:
    """Raise `UsageError` where the output is a table or a list that is read: it would be written over."""
    if output == STDOUT or not os.path.isfile(output):
        return
    read = [path for text in inputs for path in (text, text.removeprefix("@")) if os.path.isfile(path)]
    if any(os.path.samefile(output, path) for path in read):
        raise UsageError(f"--output {output} is one of the inputs, and would be written over; give another")


def _earlier(file: RowsFile, display: Display, *, format: str, top_k: int) -> Earlier | None:
    """The rows to go on with; where there are some that nobody asked for, say so."""
    if file.resume:
        return find_earlier(file.output, format=format, top_k=top_k)
    for part in left_over(file.output)[:1]:
        display.show(Warned(f"{part} holds rows of an interrupted run; --resume goes on with them"))
    return None


def _write(
    events: Iterator[Event],
    summary: _Summary,
    display: Display,
    *,
    show: Show,
    earlier: Earlier | None,
    opened: Callable[..., Output],
    format: str,
    top_k: int,
) -> None:
    """Write the rows as they come, and show all events; the output is opened when the first rows are there."""
    begun = earlier.manifest.begun if earlier else now()
    model = earlier.manifest.model if earlier else None
    provenance: Provenance | None = None
    file: Output | None = None
    with ExitStack() as stack:
        for event in events:
            match event:
                case InputsFound():
                    summary.total, summary.earlier = event.count, event.earlier
                    if 0 < event.earlier < event.count:
                        display.say(f"Going on after {event.earlier:,} of {event.count:,} images.")
                case RowsPlanned():
                    provenance = event.provenance
                case ModelLoaded() | ModelKnown():
                    model = _latest(model, event.record)
                    if file and model:
                        file.set_model(model)
                case RowsReady() if provenance and not (earlier and earlier.is_output and summary.is_complete()):
                    if file is None:
                        schema = Schema(top_k=top_k, kept=provenance.kept)
                        manifest = Manifest(provenance=provenance, model=model, format=format, begun=begun)
                        file = opened(schema=schema, manifest=manifest, at_least=summary.earlier)
                        stack.enter_context(file)
                    file.write(event.rows)
            summary.add(event)
            show(event)


def _latest(model: ModelRecord | None, latest: ModelRecord | None) -> ModelRecord | None:
    """The model as it was last told of; where nothing needs encoding any more, on the device where it last did."""
    if model is None or latest is None or latest.device is not None:
        return latest or model
    return replace(latest, device=model.device)


class _Summary:
    """The counts and times of a run."""

    def __init__(self, output: str) -> None:
        self.output = "standard output" if output == STDOUT else output
        self.total = self.rows = self.earlier = 0
        self.interrupted = False
        self._counts: Counter[str] = Counter()
        self._first_skipped: list[Row] = []
        self._skipped = self._labelled = 0
        self._copied: float | None = None
        self._started = self.encoding_from = time.perf_counter()

    def add(self, event: Event) -> None:
        """Count rows, and take the time from which on there are some."""
        if isinstance(event, ModelLoaded | ModelKnown | ClassesEncoded | Noted):
            self.encoding_from = time.perf_counter()
        if isinstance(event, RowsReady):
            self._add(event)

    def _add(self, event: RowsReady) -> None:
        rows = event.rows
        self.rows += len(rows)
        if event.earlier:
            # Copying is not encoding.
            now = time.perf_counter()
            self.encoding_from += now - (self._copied or now)
            self._copied = now
        else:
            self._labelled += len(rows)
        self._counts.update(row.labels[0] for row in rows if row.labels)
        skipped = [row for row in rows if row.error is not None]
        self._skipped += len(skipped)
        self._first_skipped += skipped[: _SKIPPED_SHOWN - len(self._first_skipped)]

    def is_complete(self) -> bool:
        """True where an earlier run had left nothing to do."""
        return 0 < self.earlier == self.total

    def exit_code(self) -> int:
        """0, or 3 where images were skipped, or what a shell expects of an interrupted command."""
        if self.interrupted:
            return exit_codes.INTERRUPTED
        return exit_codes.SOME_SKIPPED if self._skipped else exit_codes.DONE

    def tell(self, display: Display) -> None:
        """Counts per label, what was skipped, and how fast it went."""
        now = time.perf_counter()
        if self.interrupted and self.rows < self.earlier:
            display.say(f"Stopped before a new row; the {self.earlier:,} earlier rows are where they were.")
            return
        if self.rows:
            display.say()
            for line in self._table():
                display.say(line)
        if self.interrupted:
            where = f"; their rows are in {self.output}" if self.rows else "; nothing was written"
            display.say(f"Stopped after {self.rows:,} of {self.total:,} images{where}.")
            return
        if self.is_complete():
            display.say(f"{self.output}: complete, an earlier run had labelled all {self.rows:,} images.")
            return
        took = f"{now - self._started:.1f} s, {self._labelled / (now - self.encoding_from):,.1f} images/s once loaded"
        display.say(f"{self.output}: {self.rows:,} rows in {took}. Look closer: sort by score, lowest first.")

    def _table(self) -> list[str]:
        from rich.cells import cell_len

        shown = [(printable(label), count) for label, count in self._counts.most_common(_LABELS_SHOWN)]
        width = max((cell_len(label) for label, _ in shown), default=0)
        width = min(max(width, len("skipped")), _LABEL_WIDTH)
        most = shown[0][1] if shown else 1
        lines = [
            f" {_fitted(label, width)}  {count:>7,}  {'█' * max(1, round(_BAR_WIDTH * count / most))}"
            for label, count in shown
        ]
        if len(self._counts) > len(shown):
            lines.append(f" … and {len(self._counts) - len(shown):,} more labels")
        if self._skipped:
            lines.append(f" {'skipped':{width}}  {self._skipped:>7,}  {self._reasons()}")
        return lines

    def _reasons(self) -> str:
        first = "; ".join(f"{row.path}: {row.error}" for row in self._first_skipped)
        more = self._skipped - len(self._first_skipped)
        return f"{first}; and {more:,} more" if more > 0 else first


def _fitted(label: str, width: int) -> str:
    """The label in exactly `width` cells of the terminal, cut with an ellipsis if need be."""
    from rich.cells import cell_len, set_cell_size

    return set_cell_size(label, width) if cell_len(label) <= width else set_cell_size(label, width - 1) + "…"
