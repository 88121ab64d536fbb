"""Reads labels that nest, from YAML, JSON or a program: `animal: {dog: [beagle, husky], cat: [tabby]}`.

Labels nest where a name has names of its own below it, other than `aliases` and `descriptions`, and where a list holds
names with something below them. `hierarchy:` above all says so where it could not be told: `dog: [beagle, husky]` alone
is a label with two aliases. In a hierarchy a list holds the names within a group, and what could be read in two ways is
an error that says how to write it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clipcli.classes.labels import LabelledClass, labelled
from clipcli.classes.mapping import KEYS
from clipcli.classes.tree import Path, same_name, tree_of
from clipcli.errors import BadFile
from clipcli.notices import Notice, Notices
from clipcli.settings import several

if TYPE_CHECKING:
    from yaml.nodes import Node

HIERARCHY = "hierarchy"
NESTED = Notice(
    "set of labels is a hierarchy",
    "sets of labels are hierarchies",
    "what stands below a group are classes of their own, and no aliases",
    warns=False,
)
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Given:
    """What stands at one place: a text, nothing, the `items` of a list, or the `pairs` of a mapping.

    `where` names the place in errors, and `line` is its line in a file. `text` is `None` for nothing, and something
    else than text where a program gives that.
    """

    where: str
    line: int | None
    text: Any = None
    items: tuple[Given, ...] | None = None
    pairs: tuple[tuple[Given, Given], ...] | None = None

    @property
    def has_fields(self) -> bool:
        """True for the `aliases` and `descriptions` of a class."""
        return bool(self.pairs) and all(key.text in KEYS for key, _ in self.pairs or ())


def of_yaml(node: Node, path: str, *, within: tuple[int, ...] = ()) -> Given:
    """What a YAML file called `path` gives. Raises `BadFile` where it holds itself."""
    import yaml

    line = node.start_mark.line + 1
    where = f"{path} line {line}"
    inner = _deeper(id(node), within, where)
    if isinstance(node, yaml.SequenceNode):
        return Given(where, line, items=tuple(of_yaml(one, path, within=inner) for one in node.value))
    if isinstance(node, yaml.MappingNode):
        pairs = tuple((of_yaml(key, path), of_yaml(value, path, within=inner)) for key, value in node.value)
        return Given(where, line, pairs=pairs)
    # Values stay the text that was written; `null` is one only where it stands for nothing.
    return Given(where, line, text=None if node.tag == "tag:yaml.org,2002:null" else str(node.value))


def of_value(value: Any, *, where: str = "labels", within: tuple[int, ...] = ()) -> Given:
    """What a program gives. Raises `BadFile` where it holds itself."""
    if value is None or isinstance(value, str):
        return Given(where, None, text=value)
    inner = _deeper(id(value), within, where)
    if isinstance(value, Mapping):
        pairs = tuple(
            (
                Given(f"label {key!r}", None, text=key),
                of_value(below, where=where if key in KEYS else f"label {key!r}", within=inner),
            )
            for key, below in value.items()
        )
        return Given(where, None, pairs=pairs)
    try:
        items = several(value)
    except TypeError:
        return Given(where, None, text=value)
    return Given(where, None, items=tuple(of_value(item, where=where, within=inner) for item in items))


def is_nested(given: Given) -> bool:
    """True if the labels are a hierarchy, and no list of labels nor labels with their aliases."""
    if given.items is not None:
        return any(item.pairs is not None for item in given.items)
    return _below_key(given) is not None or any(_has_names_below(value) for _, value in given.pairs or ())


def read_nested(given: Given) -> tuple[LabelledClass, ...]:
    """The classes of a hierarchy, in order, each with its groups. Raises `BadFile`."""
    below = _below_key(given)
    classes = tuple(_Reader().read(given if below is None else below, ()))
    if below is not None and classes and not any(one.groups for one in classes):
        raise BadFile(f"{given.where}: no group in the hierarchy; write its classes below it, as in dog: [beagle]")
    return classes


def as_hierarchy(given: Given) -> dict[str, Any]:
    """A hierarchy that a program gave as one mapping of lists and mappings, below `hierarchy`, as files have it."""
    return {HIERARCHY: _plain(_below_key(given) or given)}


def note_nested(classes: Sequence[LabelledClass], notices: Notices, *, name: str) -> None:
    """Count labels that were read as a hierarchy; `name` is theirs."""
    tree = tree_of(classes)
    if tree is not None:
        sizes = f"{_count(len(classes), 'class', 'es')} in {_count(len(tree.nodes), 'group', 's')}"
        notices.add(NESTED, f"{name} ({sizes})")


@dataclass
class _Reader:
    """Reads a hierarchy; `seen` are the places of the names so far."""

    seen: dict[str, str] = field(default_factory=dict)

    def read(self, given: Given, groups: Path) -> Iterator[LabelledClass]:
        """The classes below a group."""
        for item in given.items or ():
            if item.pairs is not None:
                yield from self.read(item, groups)
            elif item.items is not None:
                raise BadFile(
                    f"{item.where}: a list within a list has no name; write one before it, as in dog: [beagle]"
                )
            else:
                yield self._class(item, groups)
        for key, value in given.pairs or ():
            if key.items is not None or key.pairs is not None:
                raise BadFile(f"{key.where}: a label is text; put it in quotes")
            if value.has_fields or (value.text is None and value.items is None and value.pairs is None):
                yield self._class(key, groups, value)
            else:
                _check_group(key, value)
                yield from self.read(value, (*groups, self._name(key)))

    def _class(self, key: Given, groups: Path, value: Given | None = None) -> LabelledClass:
        texts = {name.text: _texts(below) for name, below in (value.pairs or () if value else ())}
        one = labelled(
            "" if key.text is None else key.text,
            where=key.where,
            line=key.line,
            aliases=texts.get("aliases", ()),
            descriptions=(*texts.get("description", ()), *texts.get("descriptions", ())),
            groups=groups,
        )
        self._check_is_new(one.label, key.where)
        return one

    def _name(self, key: Given) -> str:
        """The name of a group."""
        name = labelled("" if key.text is None else key.text, where=key.where).label
        self._check_is_new(name, key.where)
        return name

    def _check_is_new(self, name: str, where: str) -> None:
        earlier = self.seen.get(same_name(name))
        if earlier is not None:
            place = "" if earlier == where else f" (before: {earlier})"
            raise BadFile(
                f"{where}: '{name}' is in the hierarchy twice{place}; a name has one place in it: give each a name of"
                f" its own, as in '{name} (other)'"
            )
        self.seen[same_name(name)] = where


def _check_group(key: Given, value: Given) -> None:
    """Raise `BadFile` where it is not clear what stands below a name, or where it is nothing."""
    name = key.text
    if value.text is not None:
        text = value.text if isinstance(value.text, str) else type(value.text).__name__
        raise BadFile(
            f"{key.where}: unknown key '{name}'; the keys are aliases and descriptions. In a hierarchy write"
            f" {name}: [{text}] for a class in a group, and {name}: {{aliases: [{text}]}} for another name"
        )
    if not value.items and not value.pairs:
        raise BadFile(f"{key.where}: the group '{name}' is empty; write its classes, or '{name}:' alone for a class")
    keys = [below.text for below, _ in value.pairs or ()]
    fields = [one for one in keys if one in KEYS]
    if fields:
        other = next(one for one in keys if one not in KEYS)
        raise BadFile(
            f"{key.where}: '{name}' has {fields[0]}, as a class, and '{other}', as a group; write the one or the other"
        )
    for below, _ in value.pairs or ():
        near = difflib.get_close_matches(str(below.text).lower(), KEYS, n=1, cutoff=0.8)
        if near:
            raise BadFile(
                f"{below.where}: unknown key '{below.text}'; did you mean {near[0]}? The keys are aliases and"
                " descriptions, and a name so near to them cannot be one of the hierarchy"
            )


def _texts(given: Given) -> tuple[str, ...]:
    """The aliases or descriptions of a class."""
    texts = given.items if given.items is not None else () if given.text is given.pairs is None else (given,)
    for one in texts:
        if not isinstance(one.text, str):
            raise BadFile(f"{one.where}: an alias or description must be text; put quotes around it")
    return tuple(str(one.text) for one in texts)


def _below_key(given: Given) -> Given | None:
    """What stands below `hierarchy:`, where that is the only key; `None` if it is not."""
    if given.pairs is None or [key.text for key, _ in given.pairs] != [HIERARCHY]:
        return None
    below = given.pairs[0][1]
    return None if (below.items is None and below.pairs is None) or below.has_fields else below


def _plain(given: Given) -> Any:
    if given.items is not None:
        return tuple(map(_plain, given.items))
    if given.pairs is not None:
        return {key.text: _plain(value) for key, value in given.pairs}
    return given.text


def _has_names_below(value: Given) -> bool:
    if value.items is not None:
        return any(item.pairs is not None for item in value.items)
    return bool(value.pairs) and not value.has_fields


def _deeper(one: int, within: tuple[int, ...], where: str) -> tuple[int, ...]:
    if one in within:
        raise BadFile(f"{where}: the labels hold themselves; write names in place of the anchor that leads back")
    if len(within) == _DEEPEST:
        raise BadFile(f"{where}: labels nest more than {_DEEPEST} deep; take out some of the groups")
    return (*within, one)


def _count(number: int, noun: str, plural: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else plural}"
