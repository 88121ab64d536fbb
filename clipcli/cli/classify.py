"""`clipcli classify`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipcli.cli import options
from clipcli.cli.columns import printable
from clipcli.data.kinds import KINDS
from clipcli.encoding.engines.kinds import ENGINES
from clipcli.errors import UsageError
from clipcli.events import ClassesEncoded, InputsFound, ModelKnown, ModelLoaded, Noted, RowsReady, Warned
from clipcli.images.kinds import DECODES
from clipcli.memory.cache import DEFAULT_SIZE
from clipcli.outputs import STDOUT, WRITERS, OpenOutput, check_output, choose_format
from clipcli.outputs.earlier import find_earlier, left_over
from clipcli.records import Row
from clipcli.scoring.kinds import SCORES

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.commands.classify.run import ClassifyOptions
    from clipcli.outputs.resume import Earlier

SOME_SKIPPED = 3
INTERRUPTED = 130
_LABELS_SHOWN = 20
_SKIPPED_SHOWN = 3
_BAR_WIDTH = 28
_LABEL_WIDTH = 40
_INPUTS = ", ".join(kind.written for kind in KINDS.values())


def command(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help=f"Images: {_INPUTS}.")],
    labels: options.Labels = None,
    classifier: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file made by clipcli build-classifier, in place of --labels.")
    ] = None,
    prompts: options.Prompts = None,
    model: options.Model = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where the rows go; - is stdout.")
    ] = "labels.csv",
    format: Annotated[
        str | None,
        typer.Option(metavar="F", help=f"One of: {', '.join(WRITERS)}; by the output's suffix if not given."),
    ] = None,
    top_k: Annotated[int, typer.Option(metavar="K", min=1, help="How many labels each image gets, best first.")] = 1,
    score: Annotated[str, typer.Option(metavar="S", help=f"One of: {', '.join(SCORES)}.")] = "auto",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Images encoded at once. [default: by device and model]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Threads that decode images. [default: one a core, more where they wait for bytes]"
        ),
    ] = None,
    decode: Annotated[
        str, typer.Option(metavar="D", help=f"{'; '.join(f'{name}: {what}' for name, what in DECODES.items())}.")
    ] = "exact",
    engine: Annotated[
        str,
        typer.Option(metavar="E", help=f"What runs the model. One of: {', '.join(ENGINES)}."),
    ] = "auto",
    image_column: Annotated[
        str | None, typer.Option(metavar="C", help="The column of images in a table. [default: guessed]")
    ] = None,
    no_cache: options.NoCache = False,
    cache_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help=f"How large the cache may grow, as in 500MB. [default: {DEFAULT_SIZE}]"),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Take an image's embedding from the cache only if its content is the same too."),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the rows an interrupted run has left; the rest of the command as then."
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Label images: one row for each, in order, with its best labels and their scores.

    An image that cannot be read gets a row with the reason, and the command ends with exit code 3.
    """
    chosen = choose_format(output, format)
    _check_is_no_input(output, inputs)
    check_output(output, overwrite=overwrite, resume=resume)
    from clipcli.cli.display import Display

    with Display(quiet=quiet, verbose=verbose) as display:
        earlier = _earlier(output, display, format=chosen, top_k=top_k, resume=resume)
        # Loading torch takes seconds: all that can be checked without it was.
        from clipcli.commands.classify.run import ClassifyOptions

        request = ClassifyOptions(
            inputs=tuple(inputs),
            labels=labels,
            classifier=classifier,
            prompts=prompts,
            model=model,
            score=score,
            top_k=top_k,
            device=device,
            precision=precision,
            batch_size=batch_size,
            workers=workers,
            decode=decode,
            engine=engine,
            cache=not no_cache,
            resume=earlier,
            cache_size=cache_size,
            verify=verify,
            image_column=image_column,
        )
        summary = _Summary(output)
        opened = partial(
            OpenOutput,
            output,
            format=chosen,
            top_k=top_k,
            overwrite=overwrite or (resume and Path(output).exists()),
            superseded=earlier.parts if earlier else (),
        )
        try:
            _write(request, summary, display, opened=opened)
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


def _earlier(output: str, display: Display, *, format: str, top_k: int, resume: bool) -> Earlier | None:
    """The rows to go on with; where there are some that nobody asked for, say so."""
    if resume:
        return find_earlier(output, read=partial(WRITERS[format].read_rows, top_k=top_k))
    for part in left_over(output)[:1]:
        display.show(Warned(f"{part} holds rows of an interrupted run; --resume goes on with them"))
    return None


def _write(request: ClassifyOptions, summary: _Summary, display: Display, *, opened: Callable[..., OpenOutput]) -> None:
    """Run the pipeline; the output is opened when the first rows are there."""
    from clipcli.commands.classify.run import run

    with ExitStack() as stack:
        file: OpenOutput | None = None
        in_place = False
        for event in run(request):
            if isinstance(event, InputsFound):
                summary.total, summary.earlier = event.count, event.earlier
                if 0 < event.earlier < event.count:
                    display.say(f"Going on after {event.earlier:,} of {event.count:,} images.")
                in_place = request.resume is not None and request.resume.is_output and summary.is_complete()
            if isinstance(event, ModelLoaded | ModelKnown | ClassesEncoded | Noted):
                summary.encoding_from = time.perf_counter()
            if isinstance(event, RowsReady):
                if not in_place:
                    file = file or stack.enter_context(opened(at_least=summary.earlier))
                    file.write(event.rows)
                summary.add(event)
            display.show(event)


class _Summary:
    """What a run came to."""

    def __init__(self, output: str) -> None:
        self.output = "standard output" if output == STDOUT else output
        self.total = self.rows = self.earlier = 0
        self.interrupted = False
        self._counts: Counter[str] = Counter()
        self._first_skipped: list[Row] = []
        self._skipped = self._labelled = 0
        self._copied: float | None = None
        self._started = self.encoding_from = time.perf_counter()

    def add(self, event: RowsReady) -> None:
        """Count these rows."""
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
        """Whether an earlier run had left nothing to do."""
        return 0 < self.earlier == self.total

    def exit_code(self) -> int:
        """0, or 3 where images were skipped, or what a shell expects of an interrupted command."""
        if self.interrupted:
            return INTERRUPTED
        return SOME_SKIPPED if self._skipped else 0

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
