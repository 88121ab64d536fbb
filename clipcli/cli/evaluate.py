"""`clipcli evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.columns import print_columns, printable
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import pause_collector
from clipcli.commands.evaluate.parsing import name_data
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.events import result_of
from clipcli.settings import AsTexts, Settings, record, setting, to_yaml

if TYPE_CHECKING:
    from clipcli.cli.display import Display
    from clipcli.commands.evaluate.results import Evaluation

_MOST_CLASSES = 25
_SKIPPED_SHOWN = 3


EXAMPLES = (
    "clipcli evaluate photos-by-class --model tiny",
    "clipcli evaluate photos.csv --labels labels.csv --prompts plain,imagenet -o report",
)


@record
class NamedData(Settings):
    """DATA with names, given by a flag: the command line has it beside the argument DATA."""

    command = "evaluate"

    named: AsTexts = setting(default=(), group="what", flag="--data", metavar="[NAME=]PATH")
    """A DATA by name; several are set side by side."""


@flags_of(EvaluateSettings, NamedData)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Tell how right a model's labels are on images whose labels are known, with 95 % intervals, files and a report.

    Without --labels and --classifier the classes are those that DATA names. Images with captions are retrieved by
    them, both ways. An image that cannot be read does not count, and the command ends with exit code 3.
    """
    if "named" in flags:
        flags["data"] = name_data([flags["data"]] if "data" in flags else [], named=flags.pop("named"))
    [settings] = settings_of(flags, terminal, EvaluateSettings)
    if terminal.show_config:
        print(to_yaml(settings), end="")
        return exit_codes.DONE
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.evaluate.run import run

        evaluation = result_of(run(settings), show=show)
    _print_tables(evaluation)
    _say_how_scored(evaluation, display)
    _say_skipped(evaluation, display)
    if settings.output is not None:
        display.say(f"{settings.output}: look at {settings.output}/report.html")
    return exit_codes.SOME_SKIPPED if evaluation.skipped else exit_codes.DONE


def _print_tables(evaluation: Evaluation) -> None:
    """Print tables on stdout: runs, differences, and the classes of a single run if they are few."""
    from clipcli.commands.evaluate.results import RetrievalRun, Run
    from clipcli.commands.evaluate.tables import (
        table_of_classes,
        table_of_differences,
        table_of_distances,
        table_of_levels,
        table_of_runs,
        table_of_unknown,
    )

    tables = [
        *(table_of_runs(evaluation), table_of_unknown(evaluation)),
        *(table_of_differences(evaluation), table_of_distances(evaluation)),
    ]
    first = evaluation.runs[0]
    if isinstance(first, Run) and len(evaluation.runs) == 1:
        tables.append(table_of_levels(first))
    few = len(evaluation.runs) == 1 and 1 < len(evaluation.labels) <= _MOST_CLASSES
    if not isinstance(first, RetrievalRun) and few:
        tables.append(table_of_classes(first))
    for n, table in enumerate(table for table in tables if table):
        if n:
            print()
        print_columns([[printable(cell) for cell in row] for row in table])


def _say_how_scored(evaluation: Evaluation, display: Display) -> None:
    """Say whether the first run has refined and calibrated scores, as that of a classifier's file may have."""
    from clipcli.commands.evaluate.results import Run
    from clipcli.commands.evaluate.tables import in_words

    first = evaluation.runs[0]
    if isinstance(first, Run):
        for said in in_words(first):
            display.say(f"{said[0].upper()}{said[1:]}.")


def _say_skipped(evaluation: Evaluation, display: Display) -> None:
    """Say which figures were left out for want of classes, and which images, with the reasons of the first."""
    from clipcli.commands.evaluate.results import entries_of, skipped_unknown
    from clipcli.records import Skipped

    by_data = {run.data: entries_of(run) for run in evaluation.runs}
    skipped = [entry for entries in by_data.values() for entry in entries if isinstance(entry, Skipped)]
    skipped += skipped_unknown(evaluation.runs)
    if len(evaluation.labels) == 1:
        display.say("One class alone is always the best one: only the figures of unknown images say something.")
    elif evaluation.task == "classification" and evaluation.metrics["top5"] is None:
        display.say(f"top-5 is left out: there are only {len(evaluation.labels)} classes.")
    if skipped:
        first = "; ".join(f"{entry.item.id}: {entry.reason}" for entry in skipped[:_SKIPPED_SHOWN])
        more = f"; and {len(skipped) - _SKIPPED_SHOWN:,} more" if len(skipped) > _SKIPPED_SHOWN else ""
        images = "image" if len(skipped) == 1 else "images"
        display.say(f"{len(skipped):,} {images} left out: {first}{more}")
