"""The settings of a run as a file: read, put over each other, compared, and kept with the run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcli.commands.train.settings import FIELDS, TrainConfig, configured, flag
from clipcli.data.pairs import split_weight
from clipcli.errors import BadFile, InputNotFound, UsageError, one_line

CONFIG_FILE = "train.yaml"
# What the name of an architecture or a prompt set does not end in.
_FILES = (".json", ".yaml", ".txt")


def gathered(given: Mapping[str, Any], *, file: str | None = None, resume: bool = False) -> TrainConfig:
    """The settings of a run: those it was begun with if it is to go on, over them those of a file, over them `given`.

    Raises `UsageError` where there is no run to go on with, and as `configured` does.
    """
    asked = overridden({} if file is None else read_config(file), by=given)
    if not resume:
        return configured(asked)
    output = asked.get("output")
    if not output:
        raise UsageError("--resume goes on with a run, and none was given; give --output RUN")
    earlier = Path(output) / CONFIG_FILE
    if not earlier.is_file() and not {"model", "arch"} & asked.keys():
        raise UsageError(f"no run to go on with in {output}; check --output, or leave --resume out")
    before = absolute(configured(read_config(earlier))) if earlier.is_file() else TrainConfig()
    begun = {name: getattr(before, name) for name in FIELDS if getattr(before, name) != FIELDS[name].default}
    return configured(overridden(begun, by=asked))


def overridden(given: Mapping[str, Any], *, by: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others over them; a length in epochs takes the place of one in steps, and the other way round."""
    kept = dict(given)
    for one, other in (("epochs", "steps"), ("steps", "epochs"), ("model", "arch"), ("arch", "model")):
        if one in by:
            kept.pop(other, None)
    return kept | dict(by)


def read_config(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file, whose keys are fields of `TrainConfig`. Raises `InputNotFound` or `BadFile`."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror}; check the path after --config") from None
    except (yaml.YAMLError, ValueError) as e:
        raise BadFile(f"{path}: not YAML: {one_line(e)}; check the indentation and quotes") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadFile(f"{path}: no settings in it; write one a line, as in 'epochs: 5'")
    return {key.replace("-", "_"): value for key, value in content.items()}


def to_yaml(config: TrainConfig) -> str:
    """The configuration as `read_config` reads it; what was never given is left out."""
    import yaml

    values = {name: getattr(config, name) for name in FIELDS if getattr(config, name) is not None}
    values["data"] = list(config.data)
    # YAML reads some characters that nobody can see as line ends: those are written as escapes.
    readable = all(text.isprintable() for text in [*config.data, *map(str, values.values())])
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=readable)


def absolute(config: TrainConfig) -> TrainConfig:
    """The configuration with paths that hold wherever a run is resumed from; names of models and sets stay names."""
    # Each command's --help loads this file.
    from clipcli.backbones import absolute_name

    data = []
    for text in config.data:
        path, share = split_weight(text)
        data.append(os.path.abspath(path) + ("" if share is None else f"={share:g}"))
    places = {name: getattr(config, name) for name in ("labels", "val", "zero_shot", "retain")}
    names = {name: getattr(config, name) or "" for name in ("arch", "prompts")}
    paths = [name for name, text in places.items() if text is not None]
    paths += [name for name, text in names.items() if text.lower().endswith(_FILES) and os.path.exists(text)]
    moved = {name: os.path.abspath(getattr(config, name)) for name in paths}
    model = None if config.model is None else absolute_name(config.model)
    return dataclasses.replace(config, data=tuple(data), model=model, **moved)


def changes(before: TrainConfig, after: TrainConfig) -> list[str]:
    """What differs between two configurations and would make another run of it, one sentence a field."""
    return [
        f"{_called(name)} was {_said(getattr(before, name))} and is {_said(getattr(after, name))}"
        for name, f in FIELDS.items()
        if not f.metadata["harmless"] and name != "output" and getattr(before, name) != getattr(after, name)
    ]


def _called(name: str) -> str:
    return "DATA" if name == "data" else flag(name)


def _said(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
