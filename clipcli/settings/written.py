"""Settings as YAML and JSON have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clipcli.errors import BadFile, InputNotFound, one_line
from clipcli.settings.described import described
from clipcli.settings.record import Settings


def as_dict(settings: Settings) -> dict[str, Any]:
    """The settings as JSON has them; of an object, such as a classifier, the name of its type."""
    return {
        name: _written(getattr(settings, name), one.about.writes) for name, one in described(type(settings)).items()
    }


def to_yaml(*records: Settings) -> str:
    """Records as `read_yaml` reads them; what was never given is left out."""
    import yaml

    values = {key: value for one in records for key, value in as_dict(one).items() if value is not None}
    # YAML reads some characters that nobody can see as line ends: those are written as escapes.
    readable = all(text.isprintable() for value in values.values() for text in _texts_in(value))
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=readable)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file by name, as they stand there. Raises `InputNotFound` or `BadFile`."""
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


def _written(value: Any, writes: Callable[[Any], Any] | None) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if writes is not None:
        return writes(value)
    if isinstance(value, list | tuple):
        return [_written(one, None) for one in value]
    return str(value) if isinstance(value, Path) else type(value).__name__


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in _texts_in(one)]
    return [text for one in value for text in _texts_in(one)] if isinstance(value, list) else [str(value)]
