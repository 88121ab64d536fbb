"""Converts settings to YAML and JSON, and reads them from YAML files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clipcli.errors import BadFile, InputNotFound, one_line
from clipcli.parsed import yaml_of
from clipcli.settings.described import described
from clipcli.settings.record import Settings


def as_dict(settings: Settings) -> dict[str, Any]:
    """The settings as a dict for JSON. An object, such as a classifier, becomes the name of its type."""
    return {
        name: _written(getattr(settings, name), field.about.writes) for name, field in described(type(settings)).items()
    }


def to_yaml(*records: Settings) -> str:
    """Records as YAML for `read_yaml`; settings that are `None` are left out."""
    import yaml

    values = {key: value for settings in records for key, value in as_dict(settings).items() if value is not None}
    # YAML reads some invisible characters as line ends; those are written as escapes.
    readable = all(text.isprintable() for value in values.values() for text in _texts_in(value))
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=readable)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file, by name and not checked.

    Raises `InputNotFound` if it cannot be read, and `BadFile` if it is not a YAML mapping.
    """
    try:
        content = yaml_of(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror}; check the path after --config") from None
    except ValueError as e:
        raise BadFile(f"{path}: not YAML: {one_line(e)}; check the indentation and quotes") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadFile(f"{path}: no settings in it; write one a line, as in 'epochs: 5'")
    return {key.replace("-", "_"): value for key, value in content.items()}


def _written(value: Any, writes: Callable[[Any], Any] | None) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if writes is not None:
        return writes(value)
    if isinstance(value, list | tuple):
        return [_written(item, None) for item in value]
    if isinstance(value, dict):
        return {name: _written(item, None) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else type(value).__name__


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in _texts_in(item)]
    return [text for item in value for text in _texts_in(item)] if isinstance(value, list) else [str(value)]
