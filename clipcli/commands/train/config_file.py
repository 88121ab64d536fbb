"""Where the settings of a run come from: flags over a file, over those of the run that goes on; and what differs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcli.commands.train.settings import FIELDS, TrainConfig, configured
from clipcli.data import kinds
from clipcli.data.weights import split_weight
from clipcli.errors import UsageError
from clipcli.settings import about, flag, read_yaml

CONFIG_FILE = "train.yaml"
# What the name of an architecture or a prompt set does not end in.
_FILES = (".json", ".yaml", ".txt")


def gathered(given: Mapping[str, Any], *, file: str | None = None, resume: bool = False) -> TrainConfig:
    """The settings of a run: those it was begun with if it is to go on, over them those of a file, over them `given`.

    Raises `UsageError` where there is no run to go on with, and as `configured` does.
    """
    asked = overridden({} if file is None else read_yaml(file), by=given)
    if not resume:
        return configured(asked)
    output = asked.get("output")
    if not output:
        raise UsageError("--resume goes on with a run, and none was given; give --output RUN")
    earlier = Path(output) / CONFIG_FILE
    if not earlier.is_file() and not {"model", "arch"} & asked.keys():
        raise UsageError(f"no run to go on with in {output}; check --output, or leave --resume out")
    before = absolute(configured(read_yaml(earlier))) if earlier.is_file() else TrainConfig()
    begun = {name: getattr(before, name) for name in FIELDS if getattr(before, name) != FIELDS[name].default}
    return configured(overridden(begun, by=asked))


def overridden(given: Mapping[str, Any], *, by: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others over them; a length in epochs takes the place of one in steps, and the other way round."""
    kept = dict(given)
    for one, other in (("epochs", "steps"), ("steps", "epochs"), ("model", "arch"), ("arch", "model")):
        if one in by:
            kept.pop(other, None)
    return kept | dict(by)


def absolute(config: TrainConfig) -> TrainConfig:
    """The configuration with paths that hold wherever a run is resumed from; names of models and sets stay names."""
    # Each command's --help loads this file.
    from clipcli.backbones import absolute_name

    data = []
    for text in config.data:
        path, share = split_weight(text)
        data.append(kinds.absolute(path) + ("" if share is None else f"={share:g}"))
    tests = {name: getattr(config, name) for name in ("val", "zero_shot", "retain")}
    names = {name: getattr(config, name) or "" for name in ("arch", "prompts")}
    paths = [] if config.labels is None else ["labels"]
    paths += [name for name, text in names.items() if text.lower().endswith(_FILES) and os.path.exists(text)]
    moved = {name: os.path.abspath(getattr(config, name)) for name in paths}
    moved |= {name: kinds.absolute(text) for name, text in tests.items() if text is not None}
    model = None if config.model is None else absolute_name(config.model)
    return dataclasses.replace(config, data=tuple(data), model=model, **moved)


def changes(before: TrainConfig, after: TrainConfig) -> list[str]:
    """The differences of two configurations that would make another run, a sentence for each setting."""
    return [
        f"{_called(name)} was {_said(getattr(before, name))} and is {_said(getattr(after, name))}"
        for name, f in FIELDS.items()
        if not about(f).harmless and name != "output" and getattr(before, name) != getattr(after, name)
    ]


def _called(name: str) -> str:
    return "DATA" if name == "data" else flag(name)


def _said(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
