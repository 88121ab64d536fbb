"""Each setting of `evaluate` is either for all tasks, or refused by those that it does nothing for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.evaluate.task_settings import check_settings
from clipcli.data.task import CLASSIFICATION, RETRIEVAL, SEVERAL_LABELS
from clipcli.errors import UsageError
from clipcli.settings.described import described

# With these, DATA is not for retrieval, or is for several labels: they say which task it is.
CHOOSE = {"data", "labels", "classifier", "label_column", "multi_label"}
FOR_ALL = {
    *("model", "output", "overwrite", "exclude", "image_column", "device", "precision", "cache", "cache_size"),
    *("batch_size", "workers", "decode", "color", "engine", "verify", "frames", "offline", "spreadsheet_safe"),
    *("max_pixels", "truncated", "isolate", "untrusted", "decode_timeout", "decode_memory"),
}
SOME_TASKS: dict[str, tuple[Any, set[str]]] = {
    "prompts": ("plain", {CLASSIFICATION, SEVERAL_LABELS}),
    "keep_names": (True, {CLASSIFICATION, SEVERAL_LABELS}),
    "keep_duplicates": (True, {CLASSIFICATION, SEVERAL_LABELS}),
    "allow_empty": (True, {CLASSIFICATION, SEVERAL_LABELS}),
    "taxonomy": ("wordnet", {CLASSIFICATION}),
    "refine": (True, {CLASSIFICATION}),
    "unknown_folder": ("others", {CLASSIFICATION}),
    "back_off": (0.0, {CLASSIFICATION}),
    "compare": ("other.csv", {CLASSIFICATION}),
    "linear_probe": ("train", {CLASSIFICATION}),
    "shots": ("4", {CLASSIFICATION}),
    "seeds": (1, {CLASSIFICATION}),
    "multi_label_at": (0.0, {SEVERAL_LABELS}),
    "caption_column": ("text", {RETRIEVAL}),
}


def test_every_setting_is_thought_of() -> None:
    assert set(described(EvaluateSettings)) == CHOOSE | FOR_ALL | set(SOME_TASKS)


@pytest.mark.parametrize("name", SOME_TASKS)
@pytest.mark.parametrize("task", [CLASSIFICATION, SEVERAL_LABELS, RETRIEVAL])
def test_a_setting_that_does_nothing_is_refused(name: str, task: str, tmp_path: Path) -> None:
    value, tasks = SOME_TASKS[name]
    options = EvaluateSettings(str(tmp_path), **{name: value})
    if task in tasks:
        check_settings(options, task, data="photos")
        return
    with pytest.raises(UsageError, match=rf"^--{name.replace('_', '-')} is for (images with|one label|several labels)"):
        check_settings(options, task, data="photos")
