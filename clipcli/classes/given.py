"""Turns what `--labels` is given into classes: labels themselves, a file, standard input, or what a program gives."""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clipcli.classes.duplicates import one_of_each
from clipcli.classes.label_files import SUFFIXES, parsed, read_label_file
from clipcli.classes.labels import LabelledClass, labelled
from clipcli.classes.mapping import MappedLabels
from clipcli.classes.nested import is_nested, note_nested, of_value, read_nested
from clipcli.classes.taxonomy import in_taxonomy
from clipcli.classes.words import in_words
from clipcli.errors import BadFile, InputNotFound, UsageError
from clipcli.notices import Notice, Notices

STDIN = "-"
FILE_NAME = Notice(
    "label is called like a file of labels",
    "labels are called like files of labels",
    "it was taken as a label, as there is no such file",
)
EXAMPLE = "--labels 'cat, dog, a red car'"
# One word with a suffix, or with a folder before it.
_LIKE_A_FILE = re.compile(r"\S*\.[A-Za-z]\w{0,4}|\S*[/\\]\S*")


def read_classes(
    labels: str | Path | Sequence[str] | MappedLabels,
    notices: Notices,
    *,
    keep_names: bool = False,
    keep_duplicates: bool = False,
    taxonomy: str | None = None,
) -> tuple[LabelledClass, ...]:
    """The classes that `--labels` gives, with their words for prompts; `notices` counts what was guessed or changed.

    With a `taxonomy` they are in its groups. Raises `InputNotFound`, `UsageError` or `BadFile`, and as `in_taxonomy`.
    """
    classes = in_words(classes_from(labels, notices), notices, keep_names=keep_names)
    classes = one_of_each(classes, notices, keep_duplicates=keep_duplicates)
    return classes if taxonomy is None else in_taxonomy(classes, notices)


def classes_from(labels: str | Path | Sequence[str] | MappedLabels, notices: Notices) -> tuple[LabelledClass, ...]:
    """The classes as they were given, in order. Raises `InputNotFound`, `UsageError` or `BadFile`."""
    if labels == STDIN:
        return parsed(_stdin(), name="standard input", suffix="", notices=notices)
    if isinstance(labels, Path) or (isinstance(labels, str) and is_file(labels)):
        return read_label_file(labels, notices)
    texts = split_labels(labels) if isinstance(labels, str) else labels
    for label in _like_files(texts) if isinstance(labels, str) else ():
        notices.add(FILE_NAME, label)
    nested = of_value(texts)
    if is_nested(nested):
        found = read_nested(nested)
        note_nested(found, notices, name="the labels")
        return found
    given = texts.items() if isinstance(texts, Mapping) else ((label, {}) for label in texts)
    classes = tuple(labelled(label, where=f"label {n}", line=n, **others) for n, (label, others) in enumerate(given, 1))
    if not classes:
        raise BadFile(f"no labels were given; give at least two, as in {EXAMPLE}")
    return classes


def is_file(labels: object) -> bool:
    """True for a path, and for a text that names a file or a folder.

    Raises `InputNotFound` if it only seems to, and `UsageError` for a file among labels.
    """
    if not isinstance(labels, str):
        return isinstance(labels, Path)
    if os.path.exists(labels):
        return True
    parts = split_labels(labels)
    seeming = _like_files(parts)
    there = next(filter(os.path.isfile, seeming), None)
    if there is not None:
        raise UsageError(f"{there} among the labels is a file; give the file alone, or labels alone, as in {EXAMPLE}")
    if (seeming and len(seeming) == len(parts)) or (len(parts) == 1 and _LIKE_A_FILE.fullmatch(labels)):
        file = labels if len(parts) == 1 else parts[0]
        raise InputNotFound(f"no labels file {file}; check the path, or give labels themselves, as in {EXAMPLE}")
    beside = [labels + suffix for suffix in SUFFIXES if os.path.isfile(labels + suffix)]
    if beside:
        raise InputNotFound(f"no labels file {labels}; did you mean {' or '.join(beside)}?")
    return False


def split_labels(text: str) -> list[str]:
    """The labels in a text such as `cat, dog, "salt, pepper"`: split at line ends, else at commas, else at `;`."""
    if "\n" in text or "\r" in text:
        parts = re.split(r"[\r\n]+", text)
    else:
        [parts] = csv.reader([text], delimiter="," if "," in text else ";", skipinitialspace=True) if text else [[]]
    return [part.strip() for part in parts if part.strip()]


def _like_files(texts: Iterable[str]) -> list[str]:
    """The texts that end as files of labels do."""
    return [text for text in texts if text.lower().endswith(SUFFIXES)]


def _stdin() -> bytes:
    if sys.stdin is None:
        raise InputNotFound("--labels - reads labels from standard input, and there is none here; give a file")
    return sys.stdin.buffer.read()
