"""Labels that a program gives as a mapping: each with its aliases, as in a `.yaml` file of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipcli.errors import BadFile
from clipcli.settings import several

KEYS = ("aliases", "description", "descriptions")
# Each label with its `aliases` and `descriptions`; or a hierarchy below the key of one.
MappedLabels = Mapping[str, Any]


def read_mapping(labels: Mapping[Any, Any]) -> MappedLabels:
    """The labels with their aliases and descriptions, in order.

    A label is mapped to an alias, to several, to `None`, or to a mapping with `aliases` and `descriptions`. Raises
    `BadFile`, with the label, for anything else.
    """
    return {str(label) if isinstance(label, str) else label: _read(label, value) for label, value in labels.items()}


def _read(label: Any, value: Any) -> dict[str, tuple[str, ...]]:
    given = value if isinstance(value, Mapping) else {"aliases": value}
    wrong = next((key for key in given if key not in KEYS), None)
    if wrong is not None:
        raise BadFile(f"label {label!r}: unknown key {wrong!r}; the keys are aliases and descriptions")
    texts = {key: _texts(label, value) for key, value in given.items()}
    descriptions = texts.get("description", ()) + texts.get("descriptions", ())
    return {"aliases": texts.get("aliases", ()), "descriptions": descriptions}


def _texts(label: Any, value: Any) -> tuple[str, ...]:
    """One text or several; none for `None`."""
    if value is None:
        return ()
    try:
        texts = (value,) if isinstance(value, str) else several(value)
    except TypeError:
        texts = (value,)
    for text in texts:
        if not isinstance(text, str):
            raise BadFile(
                f"label {label!r}: an alias or description is text, not {type(text).__name__}; map each label to its"
                " other names, as in {'dog': ['puppy']}"
            )
    return tuple(map(str, texts))
