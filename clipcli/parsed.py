"""JSON and YAML as values, from files that may hold anything: what cannot be read, or read in time, is a `ValueError`.

Only plain values come of it: no tag of YAML makes an object of Python.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from clipcli.errors import one_line

if TYPE_CHECKING:
    from yaml.nodes import Node

TOO_DEEP = "it nests too deep"
# What a file may hold once every alias of YAML is written out.
_MOST_NODES = 1_000_000


def json_of(text: str | bytes) -> Any:
    """The value of JSON. Raises `ValueError`, which for what is not JSON is a `json.JSONDecodeError`."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def yaml_of(text: str) -> Any:
    """The value of YAML, as its safe loader makes it. Raises `ValueError`."""
    import yaml

    try:
        node = yaml_node(text)
        return None if node is None else yaml.SafeLoader("").construct_document(node)
    except yaml.YAMLError as e:
        raise ValueError(one_line(e)) from None


def yaml_node(text: str, *, circular: bool = False) -> Node | None:
    """The nodes of YAML, which know their lines; `None` if there are none.

    Raises `yaml.YAMLError`, and `ValueError` for nodes that nest too deep, would be very many once their aliases are
    written out, or hold themselves, unless they may be `circular`.
    """
    import yaml

    try:
        root: Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        many = root is not None and _count(root, {}, circular) > _MOST_NODES
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if many:
        raise ValueError("its aliases stand for too much")
    return root


def _count(node: Node, known: dict[int, int | None], circular: bool) -> int:
    """How many nodes there are in a node with all aliases written out. Raises `ValueError` if it holds itself."""
    if id(node) in known:
        count = known[id(node)]
        if count is None and circular:
            return 1
        if count is None:
            raise ValueError("an alias stands for what it is in")
        return count
    known[id(node)] = None
    parts = node.value if isinstance(node.value, list) else []
    inner = (one for part in parts for one in (part if isinstance(part, tuple) else (part,)))
    known[id(node)] = total = 1 + sum(_count(one, known, circular) for one in inner)
    return total
