"""From labelled images to figures: how right a model's labels are, with intervals, files and a report."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clipcli.commands.evaluate import captions, labels
from clipcli.commands.evaluate.output import check_folder, write_files
from clipcli.commands.evaluate.report import write_report
from clipcli.commands.evaluate.request import EvaluateOptions, named_data, read_shots, split_list, split_prompts
from clipcli.commands.evaluate.results import Evaluation
from clipcli.data.columns import Columns
from clipcli.data.task import CLASSIFICATION, task_of
from clipcli.data.tree import Data
from clipcli.errors import UsageError
from clipcli.events import Event, result_of


def evaluate(
    data: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
    *,
    prompts: str | Sequence[str] = (),
    model: str | Path | Sequence[str | Path] = (),
    output: str | Path | None = None,
    compare: str | Path | None = None,
    linear_probe: str | Path | None = None,
    shots: str | int = "full",
    **settings: Any,
) -> Evaluation:
    """How right the labels of `data` are, or how well its captions are found, as `clipcli evaluate` reports it.

    `data` is one DATA, several, or several by their names; `prompts` and `model` are one or several. Files and the
    report are written where there is an `output`. `settings` are the other fields of
    `clipcli.commands.evaluate.request.EvaluateOptions`, such as `labels` and `classifier`. Raises the errors of
    `clipcli.errors`.
    """
    if isinstance(data, Mapping):
        named = tuple((str(name), str(path)) for name, path in data.items())
    else:
        named = named_data(_texts(data))
    options = EvaluateOptions(
        data=named,
        prompts=split_prompts(_texts(prompts)),
        model=split_list(_texts(model)),
        output=None if output is None else str(output),
        compare=None if compare is None else str(compare),
        linear_probe=None if linear_probe is None else str(linear_probe),
        shots=read_shots(str(shots)),
        **settings,
    )
    return result_of(run(options))


def run(options: EvaluateOptions) -> Generator[Event, None, Evaluation]:
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


def _texts(given: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(given)] if isinstance(given, str | Path) else [str(one) for one in given]
