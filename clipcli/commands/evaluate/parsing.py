"""Parses settings: DATA with names, lists of models and prompts, and `--shots`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from clipcli.classes.prompts import prompt_set_names
from clipcli.data.kinds import exists
from clipcli.errors import InputNotFound, UsageError
from clipcli.settings import as_text, as_texts, several

ALL_SHOTS = "full"
SEEDS = 3
NO_DATA = "no DATA was given; give a folder per class, a .csv of images and labels, or a .tar"


def parse_data(value: Any) -> tuple[tuple[str, str], ...]:
    """Turn one DATA, several, or a mapping of names to DATA into pairs of a name and a path.

    Raises `TypeError` for other types, and as `name_data`.
    """
    if isinstance(value, Mapping):
        if not value:
            raise InputNotFound(NO_DATA)
        return tuple((as_text(name), as_text(path)) for name, path in value.items())
    if isinstance(value, tuple) and value and all(isinstance(pair, tuple) for pair in value):
        return value
    return name_data(as_texts(value))


def name_data(paths: Sequence[str], *, named: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Give each DATA a name: `named` texts may be `NAME=PATH`, and a path is named after its last part.

    Paths with the same last part are named by the whole path. Raises `InputNotFound` if there is no DATA, and
    `UsageError` if two have the same name.
    """
    pairs = [(None, path) for path in paths] + [_split_name(text) for text in named]
    if not pairs:
        raise InputNotFound(NO_DATA)
    last_parts = [os.path.basename(os.path.normpath(path)) or path for _, path in pairs]
    short = [name or last for (name, _), last in zip(pairs, last_parts, strict=True)]
    names = [
        name or (path if short.count(last) > 1 else last) for (name, path), last in zip(pairs, last_parts, strict=True)
    ]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise UsageError(f"two DATA are called '{duplicate}'; give each a name of its own, as in --data photos=PATH")
    return tuple((name, path) for name, (_, path) in zip(names, pairs, strict=True))


def split_list(texts: Any) -> tuple[str, ...]:
    """Split one or several lists such as `tiny,RN50/openai` at their commas, without duplicates.

    A text that is the path of a file or folder is not split.
    """
    parts = [part.strip() for text in as_texts(texts) for part in ([text] if os.path.exists(text) else text.split(","))]
    return tuple(dict.fromkeys(part for part in parts if part))


def split_prompts(texts: Any) -> tuple[str, ...]:
    """Split one or several lists of prompt sets such as `imagenet,plain` at their commas, without duplicates.

    A template is not split: it may have commas of its own. Raises `UsageError` for a template in a list.
    """
    prompts: list[str] = []
    for text in as_texts(texts):
        parts = {part.strip() for part in text.split(",")}
        is_list = text.count("{}") > 1 or any(part in prompt_set_names() or os.path.isfile(part) for part in parts)
        if "{}" in text and is_list and len(parts) > 1:
            raise UsageError(
                f"the template in the list '{text}' cannot be told from the others; give each template by itself, as in"
                " --prompts 'a photo of a {}.'"
            )
        prompts += [text] if "{" in text else split_list([text])
    return tuple(dict.fromkeys(prompts))


def parse_shots(value: Any) -> tuple[int | None, ...]:
    """Turn `1,2,4,full` into numbers of images per class; `None` stands for all images. Raises `UsageError`."""
    parts = as_text(value).split(",") if isinstance(value, str | Real) else several(value)
    shots: list[int | None] = []
    for part in [ALL_SHOTS if part is None else str(part).strip() for part in parts]:
        if part == ALL_SHOTS:
            shots.append(None)
        elif part.isdecimal() and int(part) > 0:
            shots.append(int(part))
        else:
            raise UsageError(f"--shots {value}: '{part}' is not a number of images; write it as in 1,2,4,{ALL_SHOTS}")
    return tuple(dict.fromkeys(shots))


def format_shots(shots: Sequence[int | None]) -> list[int | str]:
    """Turn shots into a list that `parse_shots` reads back."""
    return [ALL_SHOTS if number is None else number for number in shots]


def _split_name(text: str) -> tuple[str | None, str]:
    """Split `NAME=PATH`; the name is `None` if the whole text is a path."""
    name, equals, path = text.partition("=")
    if not (equals and name and path) or "/" in name or exists(text):
        return None, text
    return name, path
