"""`clipcli evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clipcli.cli import options
from clipcli.cli.classify import SOME_SKIPPED
from clipcli.cli.columns import print_columns, printable

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.commands.evaluate.results import Evaluation

_MOST_CLASSES = 25
_SKIPPED_SHOWN = 3


def command(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="Images with labels: a folder per class, also in a .zip, as a list or as a glob; a .csv of images and "
            "labels; WebDataset .tar shards. Or images with captions, for retrieval.",
            show_default=False,
        ),
    ] = None,
    more: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="[NAME=]PATH", help="A DATA by name; several are set side by side."),
    ] = None,
    labels: options.Labels = None,
    classifier: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file made by clipcli build-classifier, in place of --labels.")
    ] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="P,…",
            help="Prompt sets as for classify; several, split by commas, are compared. Each template needs a --prompts "
            "of its own.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="M,…", help="Models as for classify; several are compared.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="A folder for report.html, metrics.json, predictions.csv and confusion.csv.",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Another predictions.csv of the same images, for the difference in top-1."),
    ] = None,
    linear_probe: Annotated[
        str | None,
        typer.Option(metavar="TRAIN_DATA", help="Also fit logistic regression on the image embeddings of TRAIN_DATA."),
    ] = None,
    shots: Annotated[
        str,
        typer.Option(metavar="K,…", help="Images a class that the linear probe is fitted on, as in 1,2,4,full."),
    ] = "full",
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How often images are drawn for --shots. [default: 3]")
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(metavar="C", help="The column of images in a table. [default: guessed]")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="C", help="The column of labels in a table. [default: guessed]")
    ] = None,
    caption_column: Annotated[
        str | None, typer.Option(metavar="C", help="The column of captions in a table. [default: guessed]")
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Let there be classes of which DATA has no image.")
    ] = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Images encoded at once. [default: by device]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Threads that decode images. [default: one a core, more where they wait for bytes]"
        ),
    ] = None,
    no_cache: options.NoCache = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Tell how right a model's labels are on images whose labels are known, with 95 % intervals, files and a report.

    Without --labels and --classifier the classes are those that DATA names. Images with captions are retrieved by
    them, both ways. An image that cannot be read does not count, and the command ends with exit code 3.
    """
    from clipcli.cli.display import Display

    with Display(quiet=quiet, verbose=verbose) as display:
        from clipcli.commands.evaluate.request import (
            EvaluateOptions,
            named_data,
            read_shots,
            split_list,
            split_prompts,
        )
        from clipcli.commands.evaluate.run import run
        from clipcli.events import result_of

        request = EvaluateOptions(
            data=named_data([] if data is None else [data], named=more or []),
            labels=labels,
            classifier=classifier,
            prompts=split_prompts(prompts or []),
            model=split_list(model or []),
            output=output,
            compare=compare,
            linear_probe=linear_probe,
            shots=read_shots(shots),
            seeds=seeds,
            image_column=image_column,
            label_column=label_column,
            caption_column=caption_column,
            allow_empty=allow_empty,
            overwrite=overwrite,
            device=device,
            precision=precision,
            batch_size=batch_size,
            workers=workers,
            cache=not no_cache,
        )
        evaluation = result_of(run(request), show=display.show)
    _print(evaluation)
    _tell(evaluation, display, output=output)
    return SOME_SKIPPED if evaluation.skipped else 0


def _print(evaluation: Evaluation) -> None:
    """The tables on stdout: runs, differences, and the classes of a single run where they are few."""
    from clipcli.commands.evaluate.results import Run
    from clipcli.commands.evaluate.tables import table_of_classes, table_of_differences, table_of_runs

    tables = [table_of_runs(evaluation), table_of_differences(evaluation)]
    first = evaluation.runs[0]
    if isinstance(first, Run) and len(evaluation.runs) == 1 and len(first.classes) <= _MOST_CLASSES:
        tables.append(table_of_classes(first))
    for n, table in enumerate(table for table in tables if table):
        if n:
            print()
        print_columns([[printable(cell) for cell in row] for row in table])


def _tell(evaluation: Evaluation, display: Display, *, output: str | None) -> None:
    """What was left out and why, and where the files are."""
    from clipcli.commands.evaluate.results import entries_of
    from clipcli.records import Skipped

    by_data = {run.data: entries_of(run) for run in evaluation.runs}
    skipped = [entry for entries in by_data.values() for entry in entries if isinstance(entry, Skipped)]
    if evaluation.task == "classification" and evaluation.metrics["top5"] is None:
        display.say(f"top-5 is left out: there are only {len(evaluation.labels)} classes.")
    if skipped:
        first = "; ".join(f"{entry.item.id}: {entry.reason}" for entry in skipped[:_SKIPPED_SHOWN])
        more = f"; and {len(skipped) - _SKIPPED_SHOWN:,} more" if len(skipped) > _SKIPPED_SHOWN else ""
        images = "image" if len(skipped) == 1 else "images"
        display.say(f"{len(skipped):,} {images} left out: {first}{more}")
    if output is not None:
        display.say(f"{output}: look at {output}/report.html")
