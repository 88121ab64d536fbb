"""From labelled images to figures: how right a model's labels are, with intervals, files and a report."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from clipcli.commands.evaluate import captions, labels
from clipcli.commands.evaluate.output import check_folder, write_files
from clipcli.commands.evaluate.report import write_report
from clipcli.commands.evaluate.results import Evaluation
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.data.columns import Columns
from clipcli.data.task import CLASSIFICATION, task_of
from clipcli.data.tree import Data
from clipcli.errors import UsageError
from clipcli.events import Event, result_of
from clipcli.settings import api


@api(EvaluateSettings)
def evaluate(settings: EvaluateSettings) -> Evaluation:
    """Tell how right the labels of `data` are, or how well its captions are found, as `clipcli evaluate` reports it.

    `data` is one DATA, several, or several by their names; `prompts` and `model` are one or several. Files and the
    report are written where there is an `output`. Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings))


def run(options: EvaluateSettings) -> Generator[Event, None, Evaluation]:
    """`evaluate`, saying what it does. Everything is read and checked before a model is loaded."""
    if options.output == "":
        raise UsageError("--output has no name; give a folder")
    folder = None if options.output is None else Path(options.output)
    columns = Columns(options.image_column, options.label_column, options.caption_column)
    labelled = options.labels is not None or options.classifier is not None
    data = tuple((name, Data(path)) for name, path in options.data)
    tasks = {name: task_of(one, columns, labelled=labelled) for name, one in data}
    if len(set(tasks.values())) > 1:
        told = ", ".join(f"{name} is for {task}" for name, task in tasks.items())
        raise UsageError(
            f"the DATA do not fit together: {told}; evaluate them one by one, or name the classes with --labels FILE"
        )
    if folder is not None:
        inputs = [path for _, path in options.data]
        check_folder(folder, overwrite=options.overwrite, inputs=[*inputs, *filter(None, [options.linear_probe])])
    if CLASSIFICATION in tasks.values():
        evaluation = yield from labels.run(options, data, columns)
    else:
        evaluation = yield from captions.run(options, data)
    if folder is not None:
        write_files(folder, evaluation)
        write_report(folder, evaluation)
    return evaluation
