"""JSON and YAML that try to take all memory or time, or to make objects, are errors of one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.classes.given import read_classes
from clipcli.errors import BadFile
from clipcli.notices import Notices
from clipcli.parsed import json_of, yaml_of
from clipcli.settings import read_yaml

LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'ha'}]\n" for n in range(12))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_what_nests_too_deep_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="it nests too deep"):
        json_of(text)
    with pytest.raises(ValueError, match="it nests too deep"):
        yaml_of(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "its aliases stand for too much"),
        ("a: &a [*a]", "an alias stands for what it is in"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("1" * 5000, "Exceeds the limit"),
        ("a: 2001-99-99", "month must be in"),
        ("a: [", "while parsing a flow"),
    ],
)
def test_yaml_that_is_no_plain_value_is_a_value_error(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        yaml_of(text)
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(BadFile, match=reason):
        read_yaml(tmp_path / "c.yaml")


@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a]", "a: &a {b: *a}", "[" * 10_000])
def test_labels_do_not_grow_without_end(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.yaml").write_text(text)
    with pytest.raises(BadFile, match=r"(its aliases stand|the labels hold themselves|it nests too deep)"):
        read_classes(tmp_path / "labels.yaml", Notices(), keep_names=False, keep_duplicates=False)


def test_an_alias_is_what_it_stands_for() -> None:
    assert yaml_of("a: &a [b, c]\nd: *a\ne: {<<: {f: 1}, g: no}\n") == {
        "a": ["b", "c"],
        "d": ["b", "c"],
        "e": {"f": 1, "g": False},
    }
    assert yaml_of("") is None
