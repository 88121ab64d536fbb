"""Gathers the settings of a run from flags, a file, and the run that is resumed.

Flags override the file, and both override the resumed run.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcli.commands.train.settings import FIELDS, TrainConfig, configured
from clipcli.data import kinds
from clipcli.data.weights import split_weight
from clipcli.errors import UsageError
from clipcli.settings import about, flag, read_yaml

CONFIG_FILE = "train.yaml"
# A path, a list of paths, or a checkpoint with its architecture, as `absolute` writes them.
_PATH = re.compile(r"@?/|[^/]+//")
# Settings that may be others when a run goes on: it is made longer or shorter.
_LENGTHS = ("steps", "epochs")
# Endings of files, which no name of an architecture or a prompt set has.
_FILE_SUFFIXES = (".json", ".yaml", ".txt")


def gather_config(settings: Mapping[str, Any], *, file: str | None = None, resume: bool = False) -> TrainConfig:
    """Gather the settings of a run: `settings`, for the rest those of a file, and for the rest those of a resumed run.

    Raises `UsageError` if there is no run to resume, and as `configured`.
    """
    settings = override({} if file is None else read_yaml(file), by=settings)
    if not resume:
        return configured(settings)
    output = settings.get("output")
    if not output:
        raise UsageError("--resume goes on with a run, and none was given; give --output RUN")
    earlier = Path(output) / CONFIG_FILE
    if not earlier.is_file() and not {"model", "arch"} & settings.keys():
        several = "; a machine that does not share it needs DATA and --model as at first" if in_several() else ""
        raise UsageError(f"no run to go on with in {output}; check --output, or leave --resume out{several}")
    before = absolute(configured(read_yaml(earlier))) if earlier.is_file() else TrainConfig()
    not_default = {name: getattr(before, name) for name in FIELDS if getattr(before, name) != FIELDS[name].default}
    return configured(override(not_default, by=settings))


def in_several() -> bool:
    """True in one of the processes that `torchrun` started for a run."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def override(settings: Mapping[str, Any], *, by: Mapping[str, Any]) -> dict[str, Any]:
    """Override settings by others.

    Of `epochs` and `steps` either replaces the other, and so do `model` and `arch`.
    """
    kept = dict(settings)
    for name, replaced in (("epochs", "steps"), ("steps", "epochs"), ("model", "arch"), ("arch", "model")):
        if name in by:
            kept.pop(replaced, None)
    return kept | dict(by)


def absolute(config: TrainConfig) -> TrainConfig:
    """Make paths absolute, so that the run can be resumed from any folder; names of models and prompt sets stay."""
    # Imported here, because each command's --help loads this module.
    from clipcli.backbones import absolute_name

    data = []
    for text in config.data:
        path, share = split_weight(text)
        data.append(kinds.absolute(path) + ("" if share is None else f"={share:g}"))
    tests = {name: getattr(config, name) for name in ("val", "zero_shot", "retain")}
    names = {name: getattr(config, name) or "" for name in ("arch", "prompts")}
    paths = ["labels"] if config.labels is not None and os.path.exists(config.labels) else []
    paths += [name for name, text in names.items() if text.lower().endswith(_FILE_SUFFIXES) and os.path.exists(text)]
    moved = {name: os.path.abspath(getattr(config, name)) for name in paths}
    moved |= {name: kinds.absolute(text) for name, text in tests.items() if text is not None}
    model = None if config.model is None else absolute_name(config.model)
    return dataclasses.replace(config, data=tuple(data), model=model, **moved)


def changes(before: TrainConfig, after: TrainConfig) -> list[str]:
    """The differences between two configurations that forbid to go on with a run, a phrase for each setting.

    A run may go on for more or fewer steps, and with data or a model that has moved: what they hold is compared apart.
    """
    return [
        f"{_flag(name)} was {_format(getattr(before, name))} and is {_format(getattr(after, name))}"
        for name, f in FIELDS.items()
        if not about(f).harmless and name not in ("output", *_LENGTHS)
        if without_place(getattr(before, name)) != without_place(getattr(after, name))
    ]


def without_place(value: Any) -> Any:
    """A setting with each absolute path in it replaced by the same word; shares of DATA stay."""
    if isinstance(value, tuple):
        return tuple((without_place(path), share) for path, share in map(split_weight, value))
    return "path" if isinstance(value, str) and _PATH.match(value) else value


def _flag(name: str) -> str:
    return "DATA" if name == "data" else flag(name)


def _format(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
