"""Reads label files: one class with its label, aliases and descriptions per entry.

A `.txt` holds one label a line; a `.csv` has the column `label`, and may have `aliases` (split by `;`) and
`description`; a `.yaml` is a list of labels, or maps each label to its aliases or to `aliases` and `descriptions`.
Duplicates are separate classes, as in ImageNet's own list, and are warned about.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli.classes.mapping import KEYS, MappedLabels
from clipcli.classes.normal_form import composed
from clipcli.errors import BadFile, InputNotFound

if TYPE_CHECKING:
    from yaml.nodes import Node

CSV_COLUMNS = ("label", "aliases", "description")
IMAGENET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True, slots=True)
class LabelledClass:
    """One class: its label, aliases, and whole sentences that describe it; `line` is its line in the file, from 1.

    `words` are what prompts say in place of a label such as `hot_dog`.
    """

    label: str
    aliases: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    line: int | None = None
    words: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The label in words and its aliases, each once; ids of ImageNet, such as `n01440764`, name folders alone."""
        aliases = (name for name in self.aliases if not IMAGENET_ID.fullmatch(name))
        return tuple(dict.fromkeys((self.words or self.label, *aliases)))


def read_labels(path: str | Path) -> tuple[LabelledClass, ...]:
    """Read the classes of a label file, in order.

    Raises `InputNotFound` if the file cannot be read, and `BadFile`, with the line, if it cannot be understood.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise BadFile(f"{path}: a labels file ends in {', '.join(READERS)}; rename it or convert it")
    classes = tuple(reader(_text(path), str(path)))
    if not classes:
        raise BadFile(f"{path} line 1: no labels in it; write at least one")
    return classes


def classes_from(labels: str | Path | Sequence[str] | MappedLabels) -> tuple[LabelledClass, ...]:
    """The classes of a label file, of a sequence of labels, or of a mapping. Raises `InputNotFound` or `BadFile`."""
    if isinstance(labels, str | Path):
        return read_labels(labels)
    given = labels.items() if isinstance(labels, Mapping) else ((label, {}) for label in labels)
    classes = tuple(
        _labelled(label, where=f"label {n}", line=n, **others) for n, (label, others) in enumerate(given, 1)
    )
    if not classes:
        raise BadFile("no labels were given; give at least one")
    return classes


def duplicate_warnings(classes: Sequence[LabelledClass]) -> list[str]:
    """One sentence for each label that several classes have."""
    lines: dict[str, list[int]] = {}
    for c in classes:
        if c.line is not None:
            lines.setdefault(composed(c.label), []).append(c.line)
    return [
        f"label '{label}' stands on lines {' and '.join(map(str, where))}; kept as {len(where)} separate classes"
        for label, where in lines.items()
        if len(where) > 1
    ]


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputNotFound(f"no labels file {path}; check the path") from None
    except OSError as e:
        raise InputNotFound(f"cannot read labels file {path}: {e.strerror}; check the path") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise BadFile(f"{path} line {line}: not UTF-8; save the file as UTF-8") from None


def _labelled(
    label: str, *, where: str, line: int, aliases: Sequence[str] = (), descriptions: Sequence[str] = ()
) -> LabelledClass:
    if not isinstance(label, str):
        raise BadFile(f"{where}: a label is text, not {type(label).__name__}; put it in quotes")
    if not label.strip():
        raise BadFile(f"{where}: a label of only spaces; write the label or remove the line")
    if any("\ud800" <= c <= "\udfff" for text in (label, *aliases, *descriptions) for c in text):
        raise BadFile(f"{where}: half of a character; write the text as UTF-8")
    return LabelledClass(
        label=label.strip(),
        aliases=tuple(a.strip() for a in aliases if a.strip()),
        descriptions=tuple(d.strip() for d in descriptions if d.strip()),
        line=line,
    )


def _read_txt(text: str, path: str) -> Iterator[LabelledClass]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        content = line.rstrip("\n")
        if content and not content.lstrip().startswith("#"):
            yield _labelled(content, where=f"{path} line {number}", line=number)


def _read_csv(text: str, path: str) -> Iterator[LabelledClass]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_header(header, path)
        start = reader.line_num + 1
        for fields in reader:
            where = f"{path} line {start}"
            if fields:
                yield _csv_class(header, fields, where=where, line=start)
            start = reader.line_num + 1
    except csv.Error as e:
        raise BadFile(f"{path} line {start}: {e}; is a quote missing?") from None


def _check_header(header: list[str], path: str) -> None:
    if not header:
        raise BadFile(f"{path} line 1: an empty file; begin with the header label[,aliases][,description]")
    wrong = [column for column in header if column not in CSV_COLUMNS]
    if wrong or "label" not in header:
        found = f"unknown column '{wrong[0]}'" if wrong else "no column 'label'"
        raise BadFile(f"{path} line 1: {found}; the columns are label and, if you like, aliases and description")
    if len(set(header)) < len(header):
        raise BadFile(f"{path} line 1: a column stands there twice; keep one of each")


def _csv_class(header: list[str], fields: list[str], *, where: str, line: int) -> LabelledClass:
    if len(fields) > len(header):
        raise BadFile(f"{where}: {len(fields)} fields for {len(header)} columns; put quotes around a label with commas")
    row = dict(zip(header, fields, strict=False))
    return _labelled(
        row.get("label", ""),
        where=where,
        line=line,
        aliases=row.get("aliases", "").split(";"),
        descriptions=[row.get("description", "")],
    )


def _read_yaml(text: str, path: str) -> Iterator[LabelledClass]:
    # Nodes, not values: a node knows its line, and `no` or `12` stays text.
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise BadFile(f"{path} line {line}: not YAML: {e.problem}; check the indentation and quotes") from None
    except yaml.reader.ReaderError as e:
        line = text.count("\n", 0, e.position) + 1
        raise BadFile(f"{path} line {line}: not YAML: a control character; remove it") from None
    if isinstance(root, yaml.SequenceNode):
        for node in root.value:
            where, line = _place(node, path)
            yield _labelled(_scalar(node, where, "a label"), where=where, line=line)
    elif isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            yield _yaml_class(key, value, path)
    elif root is not None:
        raise BadFile(f"{path} line 1: neither a list of labels nor label: aliases; see examples/")


def _yaml_class(key: Node, value: Node, path: str) -> LabelledClass:
    import yaml

    where, line = _place(key, path)
    label = _scalar(key, where, "a label")
    if not isinstance(value, yaml.MappingNode):
        return _labelled(label, where=where, line=line, aliases=_strings(value, path))
    given: dict[str, list[str]] = {}
    for name, strings in value.value:
        if name.value not in KEYS:
            place = _place(name, path)[0]
            raise BadFile(f"{place}: unknown key '{name.value}'; the keys are aliases and descriptions")
        given[name.value] = _strings(strings, path)
    descriptions = given.get("description", []) + given.get("descriptions", [])
    return _labelled(label, where=where, line=line, aliases=given.get("aliases", []), descriptions=descriptions)


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


READERS: dict[str, Callable[[str, str], Iterator[LabelledClass]]] = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
