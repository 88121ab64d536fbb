"""How lists, names and numbers are written in the settings of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from clipcli.classes.prompts import prompt_set_names
from clipcli.data.kinds import exists
from clipcli.errors import InputNotFound, UsageError
from clipcli.settings import as_texts

ALL_SHOTS = "full"
SEEDS = 3
NO_DATA = "no DATA was given; give a folder per class, a .csv of images and labels, or a .tar"


def read_data(given: Any) -> tuple[tuple[str, str], ...]:
    """One DATA or several, or several by their names, with a name each. Raises as `named_data`, and `TypeError`."""
    if isinstance(given, Mapping):
        return tuple((str(name), str(path)) for name, path in given.items())
    if isinstance(given, tuple) and given and all(isinstance(one, tuple) for one in given):
        return given
    return named_data(as_texts(given))


def named_data(paths: Sequence[str], *, named: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """The DATA with a name each: paths, which are called as they end, and texts that may be `NAME=PATH`.

    Raises `InputNotFound` where there is none, and `UsageError` where two are called alike.
    """
    found = [(None, path) for path in paths] + [_named(text) for text in named]
    if not found:
        raise InputNotFound(NO_DATA)
    ends = [os.path.basename(os.path.normpath(path)) or path for _, path in found]
    short = [name or end for (name, _), end in zip(found, ends, strict=True)]
    # Two folders called val are told apart by their paths.
    names = [name or (path if short.count(end) > 1 else end) for (name, path), end in zip(found, ends, strict=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two DATA are called '{twice}'; give each a name of its own, as in --data photos=PATH")
    return tuple((name, path) for name, (_, path) in zip(names, found, strict=True))


def split_list(texts: Any) -> tuple[str, ...]:
    """The parts of one or several lists such as `tiny,RN50/openai`, each once; the name of a file stays whole."""
    parts = [part.strip() for text in as_texts(texts) for part in ([text] if os.path.exists(text) else text.split(","))]
    return tuple(dict.fromkeys(part for part in parts if part))


def split_prompts(texts: Any) -> tuple[str, ...]:
    """The parts of one or several lists such as `imagenet,plain`, each once; a template stays whole with its commas.

    Raises `UsageError` for a template in a list.
    """
    found: list[str] = []
    for text in as_texts(texts):
        parts = {part.strip() for part in text.split(",")}
        listed = text.count("{}") > 1 or any(part in prompt_set_names() or os.path.isfile(part) for part in parts)
        if "{}" in text and listed and len(parts) > 1:
            raise UsageError(
                f"the template in the list '{text}' cannot be told from the others; give each template by itself, as in"
                " --prompts 'a photo of a {}.'"
            )
        found += [text] if "{" in text else split_list([text])
    return tuple(dict.fromkeys(found))


def read_shots(given: Any) -> tuple[int | None, ...]:
    """`1,2,4,full` as numbers, all images being `None`. Raises `UsageError`."""
    parts = given if isinstance(given, list | tuple) else str(given).split(",")
    shots: list[int | None] = []
    for part in [ALL_SHOTS if part is None else str(part).strip() for part in parts]:
        if part == ALL_SHOTS:
            shots.append(None)
        elif part.isdecimal() and int(part) > 0:
            shots.append(int(part))
        else:
            raise UsageError(f"--shots {given}: '{part}' is not a number of images; write it as in 1,2,4,{ALL_SHOTS}")
    return tuple(dict.fromkeys(shots))


def write_shots(shots: Sequence[int | None]) -> list[int | str]:
    """Shots as `read_shots` reads them."""
    return [ALL_SHOTS if number is None else number for number in shots]


def _named(text: str) -> tuple[str | None, str]:
    """A name and a path; no name where it is a path as a whole."""
    name, equals, path = text.partition("=")
    if not (equals and name and path) or "/" in name or exists(text):
        return None, text
    return name, path
