"""Label files become classes, or an error that names the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcli.classes.labels import LabelledClass, classes_from, duplicate_warnings, read_labels
from clipcli.classes.mapping import read_mapping
from clipcli.errors import BadFile, InputNotFound


def _read(folder: Path, name: str, content: str | bytes) -> tuple[LabelledClass, ...]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(path)


def _labels(folder: Path, name: str, content: str | bytes) -> list[str]:
    return [c.label for c in _read(folder, name, content)]


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("cat\ndog\n", ["cat", "dog"]),
        ("cat\ndog", ["cat", "dog"]),
        ("cat\r\ndog\r\n", ["cat", "dog"]),
        ("\ufeffcat\ndog\n", ["cat", "dog"]),
        ("# pets\ncat\n\n\n#fish\ndog\n", ["cat", "dog"]),
        ("  cat \n\tdog\n", ["cat", "dog"]),
        ("C# code\n", ["C# code"]),
        ('salt, pepper\n"quoted"\nit\'s\n', ["salt, pepper", '"quoted"', "it's"]),
        ("猫\nсобака\nقطة\n🐈 cat\n", ["猫", "собака", "قطة", "🐈 cat"]),
        ("next\u2028line\n", ["next\u2028line"]),
        ("no\n12\n1.0\nnull\n", ["no", "12", "1.0", "null"]),
    ],
)
def test_txt_holds_one_label_a_line(tmp_path: Path, content: str, labels: list[str]) -> None:
    assert _labels(tmp_path, "labels.txt", content) == labels


def test_txt_lines_are_counted_with_blanks_and_comments(tmp_path: Path) -> None:
    assert [c.line for c in _read(tmp_path, "labels.txt", "# pets\n\ncat\n\ndog\n")] == [3, 5]


def test_csv_has_aliases_and_a_description(tmp_path: Path) -> None:
    content = "label,aliases,description\ncat, kitty ; kitten;,a small pet\ndog,,\n"
    cat, dog = _read(tmp_path, "labels.csv", content)
    assert cat == LabelledClass("cat", ("kitty", "kitten"), ("a small pet",), line=2)
    assert dog == LabelledClass("dog", (), (), line=3)


def test_csv_columns_may_stand_in_any_order_and_with_spaces(tmp_path: Path) -> None:
    (cat,) = _read(tmp_path, "labels.csv", "description, label\na small pet,cat\n")
    assert (cat.label, cat.descriptions) == ("cat", ("a small pet",))


def test_csv_rows_may_be_shorter_than_the_header(tmp_path: Path) -> None:
    assert _read(tmp_path, "labels.csv", "label,aliases\ncat\n") == (LabelledClass("cat", line=2),)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_lines_are_right_after_a_field_of_several_lines(tmp_path: Path, newline: str) -> None:
    lines = ["label,description", 'cat,"small', 'and soft"', "", '"salt, pepper",', 'the "x",y']
    classes = _read(tmp_path, "labels.csv", newline.join(lines))
    assert [(c.label, c.line) for c in classes] == [("cat", 2), ("salt, pepper", 5), ('the "x"', 6)]
    assert classes[0].descriptions == (f"small{newline}and soft",)


def test_csv_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert _labels(tmp_path, "labels.csv", "\ufefflabel\ncat\n") == ["cat"]


@pytest.mark.parametrize(
    ("content", "line", "names"),
    [
        ("label,colour\ncat,black\n", 1, "unknown column 'colour'"),
        ("aliases,description\nkitty,soft\n", 1, "no column 'label'"),
        ("label,label\ncat,cat\n", 1, "twice"),
        ("", 1, "empty"),
        ("label\n", 1, "no labels"),
        ("label\ncat\nsalt, pepper\n", 3, "2 fields for 1 columns"),
        ('label,description\ncat,"small\nand soft"\ndog,x,y\n', 4, "3 fields"),
        ('"label\n"\n  \n', 3, "only spaces"),
        ('label\n"cat\n', 2, "quote"),
        ('label\n"cat" dog\n', 2, "quote"),
    ],
)
def test_csv_errors_name_the_line(tmp_path: Path, content: str, line: int, names: str) -> None:
    with pytest.raises(BadFile, match=rf"labels\.csv line {line}: .*{names}"):
        _read(tmp_path, "labels.csv", content)


def test_csv_missing_quote_is_named_where_its_row_begins(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"line 3: .*quote"):
        _read(tmp_path, "labels.csv", 'label\ncat\n"dog\nbird\nfish\n')


@pytest.mark.parametrize("name", ["labels.yaml", "labels.yml", "LABELS.YAML"])
def test_yaml_may_be_a_list(tmp_path: Path, name: str) -> None:
    assert [(c.label, c.line) for c in _read(tmp_path, name, "# pets\n- cat\n\n- 'dog: big'\n")] == [
        ("cat", 2),
        ("dog: big", 4),
    ]


def test_yaml_may_map_labels_to_aliases(tmp_path: Path) -> None:
    cat, dog, bird = _read(tmp_path, "labels.yaml", "cat: [kitty, kitten]\ndog: puppy\nbird:\n")
    assert cat == LabelledClass("cat", ("kitty", "kitten"), line=1)
    assert dog == LabelledClass("dog", ("puppy",), line=2)
    assert bird == LabelledClass("bird", line=3)


def test_yaml_may_map_labels_to_aliases_and_descriptions(tmp_path: Path) -> None:
    content = "cat:\n  aliases: [kitty]\n  descriptions:\n    - small\n    - soft\ndog:\n  description: it barks\n"
    cat, dog = _read(tmp_path, "labels.yaml", content)
    assert cat == LabelledClass("cat", ("kitty",), ("small", "soft"), line=1)
    assert dog == LabelledClass("dog", (), ("it barks",), line=6)


@pytest.mark.parametrize("text", ["no", "yes", "12", "1.0", "1e3", "0x1f", "2020-01-01", "on", "007"])
def test_yaml_values_stay_the_text_that_was_written(tmp_path: Path, text: str) -> None:
    assert _labels(tmp_path, "list.yaml", f"- {text}\n") == [text]
    (mapped,) = _read(tmp_path, "map.yaml", f"{text}: [{text}b, {text}]\n")
    assert (mapped.label, mapped.aliases) == (text, (f"{text}b", text))


@pytest.mark.parametrize(
    ("content", "line", "names"),
    [
        ("- cat\n- [dog, puppy]\n", 2, "must be text"),
        ("- cat\n- dog: puppy\n", 2, "must be text"),
        ("cat:\n  colour: black\n", 2, "unknown key 'colour'"),
        ("cat:\n  aliases:\n    - [kitty]\n", 3, "must be text"),
        ("cat:\n  aliases:\n    big: cat\n", 3, "must be text"),
        ("- cat\n- dog: x: y\n", 2, "not YAML"),
        ("- cat\n- do\x07g\n", 2, "not YAML"),
        ("just a sentence\n", 1, "neither"),
        ("# nothing\n", 1, "no labels"),
        ("[]\n", 1, "no labels"),
    ],
)
def test_yaml_errors_name_the_line(tmp_path: Path, content: str, line: int, names: str) -> None:
    with pytest.raises(BadFile, match=rf"labels\.yaml line {line}: .*{names}"):
        _read(tmp_path, "labels.yaml", content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "cat\n# pets\n   \n"),
        ("labels.csv", 'label,description\ncat,\n"  ",x\n'),
        ("labels.yaml", "- cat\n\n- '  '\n"),
        ("labels.yaml", "- cat\n- dog\n-\n"),
        ("labels.yaml", "cat: []\n\n'  ': []\n"),
    ],
)
def test_a_label_of_only_spaces_is_an_error(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(BadFile, match="line 3: a label of only spaces"):
        _read(tmp_path, name, content)


@pytest.mark.parametrize("name", ["labels.txt", "labels.csv", "labels.yaml"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadFile, match="line 1: "):
        _read(tmp_path, name, "")


@pytest.mark.parametrize("name", ["labels.txt", "labels.csv", "labels.yaml"])
def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadFile, match="line 3: not UTF-8"):
        _read(tmp_path, name, b"label\ncat\ncaf\xe9\n")


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"\.txt, \.csv, \.yaml"):
        _read(tmp_path, "labels.json", "[]")


@pytest.mark.parametrize(
    ("name", "content"),
    [("labels.txt", "猫\n🐈 قطة\n"), ("labels.csv", "label\n猫\n🐈 قطة\n"), ("labels.yaml", "- 猫\n- 🐈 قطة\n")],
)
def test_any_script_is_kept(tmp_path: Path, name: str, content: str) -> None:
    assert _labels(tmp_path, name, content) == ["猫", "🐈 قطة"]


def test_a_missing_file_or_a_folder_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    for name in ("missing.txt", "folder.txt"):
        with pytest.raises(InputNotFound, match=name):
            read_labels(tmp_path / name)


def test_duplicates_are_kept_and_warned_about_with_their_lines(tmp_path: Path) -> None:
    classes = _read(tmp_path, "labels.txt", "crane\ncat\n\ncrane\ncat\ndog\n crane\n")
    assert [c.label for c in classes] == ["crane", "cat", "crane", "cat", "dog", "crane"]
    crane, cat = duplicate_warnings(classes)
    assert "'crane' stands on lines 1 and 4 and 7; kept as 3" in crane
    assert "'cat' stands on lines 2 and 5; kept as 2" in cat


def test_different_labels_are_not_warned_about(tmp_path: Path) -> None:
    assert duplicate_warnings(_read(tmp_path, "labels.txt", "cat\nCat\ndog\n")) == []


def test_names_are_the_label_and_its_aliases_each_once() -> None:
    assert LabelledClass("cat", ("kitty", "cat", "kitty")).names == ("cat", "kitty")


def test_a_sequence_of_labels_needs_no_file() -> None:
    assert [c.label for c in classes_from([" cat", "dog, big", "cat"])] == ["cat", "dog, big", "cat"]


def test_a_mapping_of_labels_is_what_it_is_in_a_yaml_file(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text(
        "dog: [puppy, hound]\ncat: kitten\nyak:\nowl: {aliases: [bird], description: an owl at night.}\n"
    )
    mapping = {
        "dog": ["puppy", "hound"],
        "cat": "kitten",
        "yak": None,
        "owl": {"aliases": np.array(["bird"]), "description": "an owl at night."},
    }
    classes = classes_from(read_mapping(mapping))
    assert classes == read_labels(tmp_path / "labels.yaml")
    assert [(one.label, one.aliases, one.descriptions) for one in classes] == [
        ("dog", ("puppy", "hound"), ()),
        ("cat", ("kitten",), ()),
        ("yak", (), ()),
        ("owl", ("bird",), ("an owl at night.",)),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no labels were given"),
        ({0: "cat"}, "label 1: a label is text, not int"),
        ({"cat": 0}, "label 'cat': an alias or description is text, not int; map each label to its other names, as in"),
        ({"cat": ["a", 1]}, "label 'cat': an alias or description is text, not int"),
        ({"cat": b"a"}, "label 'cat': an alias or description is text, not bytes"),
        ({"cat": {"alias": "a"}}, "label 'cat': unknown key 'alias'; the keys are aliases and descriptions"),
        ({"cat": {"aliases": {"a": 1}}}, "label 'cat': an alias or description is text, not dict"),
        ({"cat": [], " ": []}, "label 2: a label of only spaces"),
    ],
)
def test_a_mapping_of_something_else_is_an_error(given: Any, message: str) -> None:
    with pytest.raises(BadFile) as raised:
        classes_from(read_mapping(given))
    assert str(raised.value).startswith(message)


def test_a_text_or_a_path_names_a_labels_file(labels: Path) -> None:
    assert classes_from(labels) == classes_from(str(labels)) == read_labels(labels)


@pytest.mark.parametrize(("given", "names"), [([], "no labels"), (["cat", " "], "label 2: a label of only spaces")])
def test_a_sequence_without_a_usable_label_is_an_error(given: list[str], names: str) -> None:
    with pytest.raises(BadFile, match=names):
        classes_from(given)
