"""`clipcli classify`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipcli.cli import options
from clipcli.cli.columns import printable
from clipcli.data.kinds import KINDS
from clipcli.encoding.engines.kinds import ENGINES
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
from clipcli.images.kinds import DECODES
from clipcli.memory.cache import DEFAULT_SIZE
from clipcli.outputs import STDOUT, WRITERS
from clipcli.outputs.check import check_output, choose_format
from clipcli.outputs.earlier import Earlier, find_earlier, left_over
from clipcli.outputs.open import Output
from clipcli.records import ModelFacts, Provenance, Row
from clipcli.scoring.kinds import SCORES
from clipcli.scoring.schema import Schema

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.commands.classify.run import ClassifyOptions

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
    keep_columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Columns of the inputs' tables that go behind those of the output, split by commas, or all.",
        ),
    ] = None,
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
    no_manifest: Annotated[
        bool,
        typer.Option(
            "--no-manifest", help="Leave no OUTPUT.json beside the output, which says how its rows were made."
        ),
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Label images: one row for each, in order, with its best labels and their scores.

    An image that cannot be read gets a row with the reason, and the command ends with exit code 3.
    """
    chosen = choose_format(output, format)
    check_output(output, overwrite=overwrite, resume=resume, manifest=not no_manifest)
    from clipcli.cli.display import Display

    with Display(quiet=quiet, verbose=verbose) as display:
        earlier = _earlier(output, display, format=chosen, top_k=top_k, resume=resume)
        # Loading torch takes seconds: all that can be checked without it was.
        from clipcli.commands.classify.keep import split_columns
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
            cache_size=cache_size,
            verify=verify,
            keep_columns=split_columns(keep_columns or ""),
        )
        summary = _Summary(output)
        opened = partial(
            Output,
            output,
            format=chosen,
            keep_manifest=not no_manifest,
            overwrite=overwrite or (resume and Path(output).exists()),
            superseded=earlier.parts if earlier else (),
        )
        try:
            _write(request, summary, display, earlier=earlier, opened=opened, format=chosen)
        except KeyboardInterrupt:
            summary.interrupted = True
    summary.tell(display)
    return summary.exit_code()


def _earlier(output: str, display: Display, *, format: str, top_k: int, resume: bool) -> Earlier | None:
    """The rows to go on with; where there are some that nobody asked for, say so."""
    if resume:
        return find_earlier(output, format=format, top_k=top_k)
    for part in left_over(output)[:1]:
        display.show(Warned(f"{part} holds rows of an interrupted run; --resume goes on with them"))
    return None


def _write(
    request: ClassifyOptions,
    summary: _Summary,
    display: Display,
    *,
    earlier: Earlier | None,
    opened: Callable[..., Output],
    format: str,
) -> None:
    """Run the pipeline; the output is opened when the first rows are there."""
    from clipcli.commands.classify.run import run

    begun = earlier.manifest.begun if earlier else now()
    model = earlier.manifest.model if earlier else None
    provenance: Provenance | None = None
    file: Output | None = None
    with ExitStack() as stack:
        for event in run(request, earlier=earlier):
            match event:
                case InputsFound():
                    summary.total, summary.earlier = event.count, event.earlier
                    if 0 < event.earlier < event.count:
                        display.say(f"Going on after {event.earlier:,} of {event.count:,} images.")
                case RowsPlanned():
                    provenance = event.provenance
                case ModelLoaded() | ModelKnown():
                    model = _latest(model, event.facts)
                    if file and model:
                        file.made_by(model)
                case RowsReady() if provenance and not (earlier and earlier.is_output and summary.is_complete()):
                    if file is None:
                        schema = Schema(top_k=request.top_k, kept=provenance.kept)
                        manifest = Manifest(provenance=provenance, model=model, format=format, begun=begun)
                        file = opened(schema=schema, manifest=manifest, at_least=summary.earlier)
                        stack.enter_context(file)
                    file.write(event.rows)
            summary.add(event)
            display.show(event)


def _latest(model: ModelFacts | None, facts: ModelFacts | None) -> ModelFacts | None:
    """The model as it was last told of; where nothing needs encoding any more, on the device where it last did."""
    if model is None or facts is None or facts.device is not None:
        return facts or model
    return replace(facts, device=model.device)


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
