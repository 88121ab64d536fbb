"""Runs an evaluation: checks settings, evaluates labels or captions, writes the files."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from clipcli.commands.evaluate import captions, labels, several
from clipcli.commands.evaluate.output import check_folder, existing_files, write_files
from clipcli.commands.evaluate.report import write_report
from clipcli.commands.evaluate.results import Evaluation
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.task_settings import check_settings
from clipcli.data.columns import Columns
from clipcli.data.task import CLASSIFICATION, SEVERAL_LABELS, task_of
from clipcli.data.tree import Data
from clipcli.errors import UsageError
from clipcli.events import Event, result_of
from clipcli.images.limits import limits_of
from clipcli.notices import Notices
from clipcli.outputs.check import check_is_not_read
from clipcli.settings import Show, api


@api(EvaluateSettings)
def evaluate(settings: EvaluateSettings, show: Show) -> Evaluation:
    """Measure how well models label the images of `data`, or how well they find its captions, as `clipcli evaluate`.

    `data` is one DATA, several, or a mapping of names to DATA; `prompts` and `model` are one or several. Files and a
    report are written if there is an `output`. Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings), show=show)


def run(options: EvaluateSettings) -> Generator[Event, None, Evaluation]:
    """As `evaluate`, with its events. Everything is read and checked before a model is loaded."""
    if options.output == "":
        raise UsageError("--output has no name; give a folder")
    folder = None if options.output is None else Path(options.output)
    columns = Columns(options.image_column, options.label_column, options.caption_column)
    notices = Notices()
    data = tuple((name, Data(path, notices, options.exclude)) for name, path in options.data)
    task = SEVERAL_LABELS if options.multi_label else _task_of_all(data, columns, options)
    check_settings(options, task, data=data[0][1].text)
    if folder is not None:
        inputs = [path for _, path in options.data]
        reads = [options.compare, options.labels, options.classifier, *options.prompts, *inputs]
        for path in existing_files(folder) if options.overwrite else ():
            check_is_not_read(path, reads)
        check_folder(folder, overwrite=options.overwrite, inputs=[*inputs, *filter(None, [options.linear_probe])])
    if task == SEVERAL_LABELS:
        evaluation = yield from several.run(options, data, columns, notices)
    elif task == CLASSIFICATION:
        evaluation = yield from labels.run(options, data, columns, notices)
    else:
        evaluation = yield from captions.run(options, data, notices)
    if folder is not None:
        write_files(folder, evaluation, spreadsheet_safe=options.spreadsheet_safe or options.untrusted)
        write_report(folder, evaluation, limits=limits_of(options))
    return evaluation


def _task_of_all(data: tuple[tuple[str, Data], ...], columns: Columns, options: EvaluateSettings) -> str:
    """The task that all DATA are for. Raises `UsageError` if some have labels and others captions."""
    labelled = options.labels is not None or options.classifier is not None
    tasks = {name: task_of(one, columns, labelled=labelled) for name, one in data}
    if len(set(tasks.values())) > 1:
        listed = ", ".join(f"{name} is for {task}" for name, task in tasks.items())
        raise UsageError(
            f"the DATA do not fit together: {listed}; evaluate them one by one, or name the classes with --labels FILE"
        )
    return next(iter(tasks.values()))
