"""The exception tree is the one drawn in its docstring, and messages name what is near."""

from __future__ import annotations

import inspect
import re

import pytest

from clipcli import errors
from clipcli.errors import ClipcliError, UnknownName, unknown


def _drawn() -> dict[str, tuple[str, int]]:
    """Each class in the docstring's tree with its parent and its exit code; a child without one has its parent's."""
    drawn = {"ClipcliError": ("Exception", 1)}
    parent = {1: "ClipcliError"}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:[│ ]   )*)[├└]── (\w+) +(\d?)", line)
        if found:
            depth = len(found[1]) // 4 + 1
            above = parent[depth]
            drawn[found[2]] = (above, int(found[3] or drawn[above][1]))
            parent[depth + 1] = found[2]
    return drawn


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ClipcliError)]
    assert {c.__name__: (c.__base__.__name__, c.exit_code) for c in classes} == _drawn()
    assert len(classes) > 10


def test_exit_codes_are_for_failure_or_wrong_usage() -> None:
    assert {code for _, code in _drawn().values()} == {1, 2}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("vit-l-14", "choose one of: ViT-L-14, ViT-B-32, RN50"),
        ("zzz", "choose one of: ViT-B-32, ViT-L-14, RN50"),
    ],
)
def test_a_short_table_is_listed_the_nearest_first(name: str, hint: str) -> None:
    error = unknown("model", name, ["ViT-B-32", "ViT-L-14", "RN50"])
    assert isinstance(error, UnknownName)
    assert str(error).startswith(f"unknown model '{name}'; ")
    assert hint in str(error)


@pytest.mark.parametrize("name", ["RESNET-7", "resnet7", "resne-7"])
def test_of_a_long_table_the_nearest_are_suggested(name: str) -> None:
    valid = [*(f"model-{n:02}" for n in range(50)), "resnet-7"]
    assert "; did you mean resnet-7?" in str(unknown("model", name, valid))


def test_a_long_table_is_not_listed_but_pointed_to() -> None:
    message = str(unknown("model", "zzz", [f"model-{n}" for n in range(50)], see="clipcli models"))
    assert "for example model-0, model-1, model-2 (clipcli models lists them)" in message
    assert "model-3" not in message
