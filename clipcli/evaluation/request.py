"""What an evaluation was asked for: its settings, and how lists and names are written in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli.classifier import Classifier
from clipcli.errors import InputNotFound, UsageError

ALL_SHOTS = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What `evaluate` was asked to do; the fields are its arguments, `data` with a name each."""

    data: tuple[tuple[str, str], ...]
    labels: str | Path | Sequence[str] | None = None
    classifier: str | Path | Classifier | None = None
    prompts: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    output: str | None = None
    compare: str | None = None
    linear_probe: str | None = None
    shots: tuple[int | None, ...] = (None,)
    seeds: int = 3
    image_column: str | None = None
    label_column: str | None = None
    caption_column: str | None = None
    allow_empty: bool = False
    overwrite: bool = False
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    cache: bool = True


def named_data(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Names and paths of `name=PATH`, or of a path alone, which is called as it ends.

    Raises `InputNotFound` where there is none, and `UsageError` where two are called alike.
    """
    if not texts:
        raise InputNotFound("no DATA was given; give a folder per class, a .csv of images and labels, or a .tar")
    named = [_named(text) for text in texts]
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        # Two folders called val are told apart by their paths.
        named = [
            (path if names.count(name) > 1 and path == text else name, path)
            for (name, path), text in zip(named, texts, strict=True)
        ]
        names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two DATA are called '{twice}'; give each a name of its own, as in --data photos=PATH")
    return tuple(named)


def split_list(texts: Sequence[str]) -> tuple[str, ...]:
    """What lists such as `imagenet,plain` hold, each once; a template, or what lies there by this name, stays whole."""
    parts = []
    for text in texts:
        whole = "{" in text or os.path.exists(text)
        parts += [text] if whole else [part.strip() for part in text.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


def read_shots(text: str) -> tuple[int | None, ...]:
    """`1,2,4,full` as numbers, all images being `None`. Raises `UsageError`."""
    shots: list[int | None] = []
    for part in text.split(","):
        part = part.strip()
        if part == ALL_SHOTS:
            shots.append(None)
        elif part.isdecimal() and int(part) > 0:
            shots.append(int(part))
        else:
            raise UsageError(f"--shots {text}: '{part}' is not a number of images; write it as in 1,2,4,{ALL_SHOTS}")
    return tuple(dict.fromkeys(shots))


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if equals and name and path and not os.path.exists(text):
        return name, path
    return os.path.basename(os.path.normpath(text)) or text, text
