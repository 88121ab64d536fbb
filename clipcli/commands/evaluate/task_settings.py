"""The settings that only some tasks of an evaluation have a use for: where they would do nothing, they are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.data.task import CLASSIFICATION, RETRIEVAL, SEVERAL_LABELS
from clipcli.errors import UsageError

_WITH_LABELS = (CLASSIFICATION, SEVERAL_LABELS)
_ONE_LABEL = (CLASSIFICATION,)
# Whether a setting was given, and the tasks that it is for; other settings are for all tasks.
_FOR_TASKS: Mapping[str, tuple[Callable[[EvaluateSettings], bool], tuple[str, ...]]] = {
    "--prompts": (lambda options: bool(options.prompts), _WITH_LABELS),
    "--keep-names": (lambda options: options.keep_names, _WITH_LABELS),
    "--keep-duplicates": (lambda options: options.keep_duplicates, _WITH_LABELS),
    "--allow-empty": (lambda options: options.allow_empty, _WITH_LABELS),
    "--taxonomy": (lambda options: options.taxonomy is not None, _ONE_LABEL),
    "--refine": (lambda options: options.refine, _ONE_LABEL),
    "--unknown-folder": (lambda options: options.unknown_folder is not None, _ONE_LABEL),
    "--back-off": (lambda options: options.back_off is not None, _ONE_LABEL),
    "--compare": (lambda options: options.compare is not None, _ONE_LABEL),
    "--linear-probe": (lambda options: options.linear_probe is not None, _ONE_LABEL),
    "--shots": (lambda options: options.shots != (None,), _ONE_LABEL),
    "--seeds": (lambda options: options.seeds is not None, _ONE_LABEL),
    "--multi-label-at": (lambda options: options.multi_label_at is not None, (SEVERAL_LABELS,)),
    "--caption-column": (lambda options: options.caption_column is not None, (RETRIEVAL,)),
}


def check_settings(options: EvaluateSettings, task: str, *, data: str) -> None:
    """Raise `UsageError` for the first setting that this task has no use for; `data` is the first DATA."""
    for flag, (is_given, tasks) in _FOR_TASKS.items():
        if is_given(options) and task not in tasks:
            raise UsageError(f"{flag} {_why_not(tasks, task, data)}")


def _why_not(tasks: tuple[str, ...], task: str, data: str) -> str:
    """What a setting for these tasks is for, and what to do with the task at hand."""
    if tasks == (RETRIEVAL,):
        return f"is for images with captions, and those of {data} are taken with labels; leave it out"
    if tasks == (SEVERAL_LABELS,):
        return "is for several labels an image; give --multi-label as well, or drop it"
    if task == SEVERAL_LABELS:
        return "is for one label an image; drop it, or --multi-label"
    return f"is for images with labels, and {data} has captions; leave it out, or name the classes with --labels FILE"
