"""DATA, prompt sets and shots, parsed from the texts of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_data import grown, sharded, zipped

from clipcli.commands.evaluate.parsing import name_data, parse_data, parse_shots, split_list, split_prompts
from clipcli.errors import InputNotFound, UsageError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three classes with two images each."""
    return grown(tmp_path / "tree")


def test_lists_names_and_shots_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert split_list(["tiny, RN50/openai,tiny", "a,b"]) == ("tiny", "RN50/openai", "a,b")
    assert split_prompts(["plain, name,plain", "a {}, they say"]) == ("plain", "name", "a {}, they say")
    for text in ("plain,a photo of a {}.", "a {}.,the {}."):
        with pytest.raises(UsageError, match=r"give each template by itself, as in --prompts 'a photo of a \{\}.'"):
            split_prompts([text])
    assert name_data(["x/val"], named=["photos=y/val"]) == (("val", "x/val"), ("photos", "y/val"))
    assert name_data(["x/val"], named=["y/val"]) == (("x/val", "x/val"), ("y/val", "y/val"))
    with pytest.raises(UsageError, match="two DATA are called 'a'"):
        name_data([], named=["a=x", "a=y"])
    for nothing in ((), {}):
        with pytest.raises(InputNotFound, match="no DATA was given"):
            parse_data(nothing)
    assert parse_shots("1, 4,full,4") == (1, 4, None)
    with pytest.raises(UsageError, match="'0' is not a number of images; write it as in 1,2,4,full"):
        parse_shots("2,0")


def test_a_path_with_an_equals_sign_is_a_path(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zipped(tree, tmp_path / "eq=.zip", prefix="split=val/")
    (tmp_path / "split=val").mkdir()
    sharded(tmp_path / "split=val" / "sh-0.tar", {})
    sharded(tmp_path / "a=0.tar", {})
    for path in ("eq=.zip/split=val", "split=val", "split=val/sh-{0..1}.tar", "a={0..1}.tar", "none/x=y"):
        assert [found for _, found in name_data([path])] == [path]
        assert [found for _, found in name_data([], named=[path])] == [path]
    assert name_data(["photos=val"])[0][1] == "photos=val"
    assert name_data([], named=["b={0..1}.tar", "c=*.tar"]) == (("b", "{0..1}.tar"), ("c", "*.tar"))
