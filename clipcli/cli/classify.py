"""`clipcli classify`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from clipcli.cli import options
from clipcli.cli.columns import printable
from clipcli.events import ClassesEncoded, InputsFound, ModelLoaded, Noted, RowsReady
from clipcli.runtime_kinds import DECODES, ENGINES
from clipcli.score_kinds import SCORES
from clipcli.sources import SOURCES
from clipcli.types import Row
from clipcli.writers import STDOUT, WRITERS, OpenOutput, check_output, choose_format

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.pipelines.classify import ClassifyOptions

SOME_SKIPPED = 3
INTERRUPTED = 130
_LABELS_SHOWN = 20
_SKIPPED_SHOWN = 3
_BAR_WIDTH = 28
_LABEL_WIDTH = 40
_INPUTS = ", ".join(source.written for source in SOURCES.values())


def command(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help=f"Images: {_INPUTS}, or - for a list on stdin.")],
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
        int | None, typer.Option(metavar="N", min=1, help="Images encoded at once. [default: by device]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads that decode images. [default: one a core]")
    ] = None,
    decode: Annotated[
        str, typer.Option(metavar="D", help=f"{'; '.join(f'{name}: {what}' for name, what in DECODES.items())}.")
    ] = "exact",
    engine: Annotated[
        str,
        typer.Option(metavar="E", help=f"What runs the model. One of: {', '.join(ENGINES)}."),
    ] = "auto",
    no_cache: options.NoCache = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Label images: one row for each, in order, with its best labels and their scores.

    An image that cannot be read gets a row with the reason, and the command ends with exit code 3.
    """
    chosen = choose_format(output, format)
    check_output(output, overwrite=overwrite)
    from clipcli.cli.display import Display

    with Display(quiet=quiet, verbose=verbose) as display:
        # Loading torch takes seconds: all that can be checked without it was.
        from clipcli.pipelines.classify import ClassifyOptions

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
        )
        summary = _Summary(output)
        try:
            _write(request, summary, display, opened=partial(OpenOutput, output, format=chosen, overwrite=overwrite))
        except KeyboardInterrupt:
            summary.interrupted = True
    summary.tell(display)
    return summary.exit_code()


def _write(request: ClassifyOptions, summary: _Summary, display: Display, *, opened: Callable[..., OpenOutput]) -> None:
    """Run the pipeline; the output is opened when the first rows are there."""
    from clipcli.pipelines.classify import run

    with ExitStack() as stack:
        file: OpenOutput | None = None
        for event in run(request):
            if isinstance(event, InputsFound):
                summary.total = event.count
            if isinstance(event, ModelLoaded | ClassesEncoded | Noted):
                summary.encoding_from = time.perf_counter()
            if isinstance(event, RowsReady):
                if file is None:
                    file = stack.enter_context(opened(top_k=request.top_k))
                file.write(event.rows)
                summary.add(event.rows)
            display.show(event)


class _Summary:
    """What a run came to."""

    def __init__(self, output: str) -> None:
        self.output = "standard output" if output == STDOUT else output
        self.total = 0
        self.rows = 0
        self.interrupted = False
        self._counts: Counter[str] = Counter()
        self._skipped: list[Row] = []
        self._started = self.encoding_from = time.perf_counter()

    def add(self, rows: tuple[Row, ...]) -> None:
        """Count these rows."""
        self.rows += len(rows)
        self._counts.update(row.labels[0] for row in rows if row.labels)
        self._skipped += [row for row in rows if row.error is not None]

    def exit_code(self) -> int:
        """0, or 3 where images were skipped, or what a shell expects of an interrupted command."""
        if self.interrupted:
            return INTERRUPTED
        return SOME_SKIPPED if self._skipped else 0

    def tell(self, display: Display) -> None:
        """Counts per label, what was skipped, and how fast it went."""
        now = time.perf_counter()
        if self.rows:
            display.say()
            for line in self._table():
                display.say(line)
        if self.interrupted:
            where = f"; their rows are in {self.output}" if self.rows else "; nothing was written"
            display.say(f"Stopped after {self.rows:,} of {self.total:,} images{where}.")
            return
        took = f"{now - self._started:.1f} s, {self.rows / (now - self.encoding_from):,.1f} images/s once loaded"
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
            lines.append(f" {'skipped':{width}}  {len(self._skipped):>7,}  {self._reasons()}")
        return lines

    def _reasons(self) -> str:
        first = "; ".join(f"{row.path}: {row.error}" for row in self._skipped[:_SKIPPED_SHOWN])
        more = len(self._skipped) - _SKIPPED_SHOWN
        return f"{first}; and {more:,} more" if more > 0 else first


def _fitted(label: str, width: int) -> str:
    """The label in exactly `width` cells of the terminal, cut with an ellipsis if need be."""
    from rich.cells import cell_len, set_cell_size

    return set_cell_size(label, width) if cell_len(label) <= width else set_cell_size(label, width - 1) + "…"
