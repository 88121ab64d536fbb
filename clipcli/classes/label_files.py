"""Reads label files: one class with its label, aliases and descriptions per entry.

A `.csv` or `.tsv` is a table (see `label_tables`). A `.yaml` or `.json` is a list of labels, or maps each label to its
aliases or to `aliases` and `descriptions`, or is a hierarchy (see `nested`). A file of any other name holds one label
a line, unless its first line is the header of a table.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli.classes.label_tables import MARKS, has_header, read_table
from clipcli.classes.labels import LabelledClass, labelled
from clipcli.classes.mapping import KEYS
from clipcli.classes.nested import is_nested, note_nested, of_yaml, read_nested
from clipcli.errors import BadFile, InputNotFound
from clipcli.files.text import decoded
from clipcli.notices import Notice, Notices
from clipcli.parsed import yaml_node

if TYPE_CHECKING:
    from yaml.nodes import Node


# The first line of a column that was saved alone.
_HEADERS = ("label", "labels")
HEADER = Notice("first line is a header", "first lines are headers", "left out; write it elsewhere if it is a label")


def read_label_file(path: str | Path, notices: Notices | None = None) -> tuple[LabelledClass, ...]:
    """Read the classes of a label file, in order; `notices` counts what was guessed.

    Raises `InputNotFound` if the file cannot be read, and `BadFile`, with the line, if it cannot be understood.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputNotFound(f"no labels file {path}; check the path") from None
    except IsADirectoryError:
        todo = f"give a file, or labels themselves, such as '{path.name}, something else'"
        raise InputNotFound(f"--labels {path} is a folder; {todo}") from None
    except OSError as e:
        raise InputNotFound(f"cannot read labels file {path}: {e.strerror}; check the path") from None
    return parsed(data, name=str(path), suffix=path.suffix.lower(), notices=notices or Notices())


def parsed(data: bytes, *, name: str, suffix: str, notices: Notices) -> tuple[LabelledClass, ...]:
    """The classes in the bytes of a label file that is called `name`. Raises `BadFile`."""
    text = decoded(data, name=name, notices=notices)
    reader = READERS.get(suffix) or (read_table if has_header(text) else _read_lines)
    classes = tuple(reader(text, name))
    if not classes:
        raise BadFile(f"{name} line 1: no labels in it; write at least one")
    if reader is _read_lines and len(classes) > 1 and classes[0].label.lower() in _HEADERS:
        notices.add(HEADER, f"'{classes[0].label}' of {name}")
        return classes[1:]
    note_nested(classes, notices, name=name)
    if reader is _read_lines and len(classes) == 1:
        _check_is_one_label(classes[0].label, name)
    return classes


def _check_is_one_label(label: str, name: str) -> None:
    """Raise `BadFile` for a single line that seems to hold several labels."""
    counts = {mark: sum(1 for part in label.split(mark) if part.strip()) for mark in MARKS}
    mark = max(counts, key=counts.__getitem__)
    if counts[mark] > 1:
        raise BadFile(
            f"{name}: its one line holds {MARKS[mark]}; did you mean {counts[mark]} labels? Write one a line;"
            " if it is one label, write it in quotes below a line 'label' in a .csv"
        )


def _read_lines(text: str, path: str) -> Iterator[LabelledClass]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        content = line.rstrip("\n")
        if content and not content.lstrip().startswith("#"):
            yield labelled(content, where=f"{path} line {number}", line=number)


def _read_yaml(text: str, path: str) -> Iterator[LabelledClass]:
    # Nodes, not values: a node knows its line, and `no` or `12` stays text.
    import yaml

    try:
        # What holds itself is found where it is read, with its line.
        root = yaml_node(text, circular=True)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise BadFile(f"{path} line {line}: not YAML: {e.problem}; check the indentation and quotes") from None
    except yaml.reader.ReaderError as e:
        line = text.count("\n", 0, e.position) + 1
        raise BadFile(f"{path} line {line}: not YAML: a control character; remove it") from None
    except ValueError as e:
        raise BadFile(f"{path}: {e}; take out some of the groups") from None
    if root is None:
        return
    given = of_yaml(root, path)
    if is_nested(given):
        yield from read_nested(given)
    elif isinstance(root, yaml.SequenceNode):
        for node in root.value:
            where, line = _place(node, path)
            yield labelled(_scalar(node, where, "a label"), where=where, line=line)
    elif isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            yield _yaml_class(key, value, path)
    else:
        raise BadFile(f"{path} line 1: neither a list of labels nor label: aliases; see examples/")


def _yaml_class(key: Node, value: Node, path: str) -> LabelledClass:
    import yaml

    where, line = _place(key, path)
    label = _scalar(key, where, "a label")
    if not isinstance(value, yaml.MappingNode):
        return labelled(label, where=where, line=line, aliases=_strings(value, path))
    given: dict[str, list[str]] = {}
    for name, strings in value.value:
        if name.value not in KEYS:
            place = _place(name, path)[0]
            raise BadFile(f"{place}: unknown key '{name.value}'; the keys are aliases and descriptions")
        given[name.value] = _strings(strings, path)
    descriptions = given.get("description", []) + given.get("descriptions", [])
    return labelled(label, where=where, line=line, aliases=given.get("aliases", []), descriptions=descriptions)


def _strings(node: Node, path: str) -> list[str]:
    """A scalar or a list of scalars as a list of strings; an empty value gives an empty list."""
    import yaml

    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if len(nodes) == 1 and nodes[0].tag == "tag:yaml.org,2002:null":
        return []
    return [_scalar(n, _place(n, path)[0], "an alias or description") for n in nodes]


def _scalar(node: Node, where: str, what: str) -> str:
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        raise BadFile(f"{where}: {what} must be text; put quotes around it")
    return str(node.value)


def _place(node: Node, path: str) -> tuple[str, int]:
    line: int = node.start_mark.line + 1
    return f"{path} line {line}", line


# A file with another suffix, or with none, is a table if its first line is a header, else it holds one label a line.
READERS: dict[str, Callable[[str, str], Iterator[LabelledClass]]] = {
    ".csv": read_table,
    ".tsv": read_table,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_yaml,
}
SUFFIXES = (".txt", *READERS)
