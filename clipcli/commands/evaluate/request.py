"""What an evaluation was asked for: its settings, and how lists and names are written in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli.classes.prompts import prompt_set_names
from clipcli.data.pairs import shards
from clipcli.data.pairs.pair import Data
from clipcli.data.sources.tree import split_archive
from clipcli.errors import InputNotFound, UsageError
from clipcli.scoring.classifier import Classifier

ALL_SHOTS = "full"
SEEDS = 3


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
    seeds: int | None = None
    image_column: str | None = None
    label_column: str | None = None
    caption_column: str | None = None
    allow_empty: bool = False
    overwrite: bool = False
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    decode: str = "exact"
    engine: str = "auto"
    verify: bool = False
    cache: bool = True


def named_data(paths: Sequence[str], *, named: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """The DATA with a name each: paths, which are called as they end, and texts that may be `NAME=PATH`.

    Raises `InputNotFound` where there is none, and `UsageError` where two are called alike.
    """
    found = [(None, path) for path in paths] + [_named(text) for text in named]
    if not found:
        raise InputNotFound("no DATA was given; give a folder per class, a .csv of images and labels, or a .tar")
    ends = [os.path.basename(os.path.normpath(path)) or path for _, path in found]
    short = [name or end for (name, _), end in zip(found, ends, strict=True)]
    # Two folders called val are told apart by their paths.
    names = [name or (path if short.count(end) > 1 else end) for (name, path), end in zip(found, ends, strict=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two DATA are called '{twice}'; give each a name of its own, as in --data photos=PATH")
    return tuple((name, path) for name, (_, path) in zip(names, found, strict=True))


def split_list(texts: Sequence[str]) -> tuple[str, ...]:
    """What lists such as `tiny,RN50/openai` hold, each once; what lies there by this name stays whole."""
    parts = [part.strip() for text in texts for part in ([text] if os.path.exists(text) else text.split(","))]
    return tuple(dict.fromkeys(part for part in parts if part))


def split_prompts(texts: Sequence[str]) -> tuple[str, ...]:
    """What lists such as `imagenet,plain` hold, each once; a template stays whole, whatever its commas.

    Raises `UsageError` for a template in a list.
    """
    found: list[str] = []
    for text in texts:
        parts = {part.strip() for part in text.split(",")}
        listed = text.count("{}") > 1 or any(part in prompt_set_names() or os.path.isfile(part) for part in parts)
        if "{}" in text and listed and len(parts) > 1:
            raise UsageError(
                f"the template in the list '{text}' cannot be told from the others; give templates by themselves:"
                " --prompts A --prompts 'a photo of a {}.'"
            )
        found += [text] if "{" in text else split_list([text])
    return tuple(dict.fromkeys(found))


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


def _named(text: str) -> tuple[str | None, str]:
    """A name and a path; no name where it is a path as a whole."""
    name, equals, path = text.partition("=")
    if not (equals and name and path) or "/" in name or _is_there(text):
        return None, text
    return name, path


def _is_there(text: str) -> bool:
    if os.path.exists(text) or split_archive(text) is not None:
        return True
    try:
        return shards.matches(Data(text)) and any(os.path.exists(path) for path in shards.shard_paths(text))
    except InputNotFound:
        return False
