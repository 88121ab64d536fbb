"""Label files become classes, or an error that names the line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcli.classes.given import classes_from, read_classes
from clipcli.classes.label_files import read_label_file
from clipcli.classes.labels import LabelledClass
from clipcli.classes.mapping import read_mapping
from clipcli.errors import BadFile, InputNotFound, UsageError
from clipcli.notices import Notices


def _read(folder: Path, name: str, content: str | bytes) -> tuple[LabelledClass, ...]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_label_file(path)


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
        ("- cat\n- dog: puppy\n", 2, r"unknown key 'dog'; the keys are aliases and descriptions"),
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


TABLES = {
    ",": 'Label,Aliases,Description\ncafé,bar,\ncat,"kitty;tom",a small pet\n',
    ";": 'LABEL;aliases;description\ncafé;bar;\ncat;"kitty;tom";a small pet\n;;\n',
    "\t": "class\taliases\tdescription\ncafé\tbar\t\ncat\tkitty;tom\ta small pet\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("mark", TABLES)
@pytest.mark.parametrize("name", ["labels.csv", "labels.txt", "labels"])
def test_tables_as_excel_writes_them(tmp_path: Path, mark: str, encoding: str, name: str) -> None:
    """Excel separates by semicolons in most of Europe, and its "Unicode text" is UTF-16 with tabs, called .txt."""
    cafe, cat = _read(tmp_path, name, TABLES[mark].encode(encoding))
    assert (cafe.label, cafe.aliases, cafe.descriptions) == ("café", ("bar",), ())
    assert (cat.label, cat.aliases, cat.descriptions) == ("cat", ("kitty", "tom"), ("a small pet",))


@pytest.mark.parametrize("column", ["label", "Label", "CLASS", "name", " Name "])
def test_the_column_of_labels_may_be_called_otherwise(tmp_path: Path, column: str) -> None:
    assert _labels(tmp_path, "labels.csv", f"description;{column}\nsoft;cat\n;dog\n") == ["cat", "dog"]


@pytest.mark.parametrize(
    ("header", "names"),
    [("name;colour", "unknown column 'colour'"), ("class,name", "unknown column 'name'"), ("cat;dog", "call the file")],
)
def test_other_columns_are_an_error(tmp_path: Path, header: str, names: str) -> None:
    with pytest.raises(BadFile, match=rf"labels\.csv line 1: .*{names}"):
        _read(tmp_path, "labels.csv", f"{header}\na{header[-4:]}\n")


@pytest.mark.parametrize("name", ["labels.txt", "labels.csv", "labels.yaml"])
def test_an_encoding_that_is_guessed_is_said_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(
        {"labels.yaml": b"- label\n- cat\n- caf\xe9\n"}.get(name, b"label\ncat\ncaf\xe9\n").replace(
            b"label", b"bear" if name == "labels.txt" else b"label"
        )
    )
    notices = Notices()
    assert read_label_file(tmp_path / name, notices)[-1].label == "café"
    [said] = [event.message for event in notices.events()]
    assert said == (
        f"1 file is not UTF-8, {tmp_path / name} (line 3): it was read as Windows-1252; save it as UTF-8 if its"
        " letters come out wrong"
    )


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"cat\n\x81\n", "line 2: not UTF-8"),
        (b"\xff\xfecat", "not UTF-8"),
        (b"PK\x03\x04\x00\x00", "is no text file; save it as text, in Excel as 'CSV UTF-8'"),
    ],
)
def test_what_is_no_text_is_an_error(tmp_path: Path, content: bytes, names: str) -> None:
    with pytest.raises(BadFile, match=names):
        _read(tmp_path, "labels.txt", content)


@pytest.mark.parametrize("name", ["labels", "labels.lst", "my labels.names", "labels.text"])
def test_a_file_of_any_name_has_a_label_a_line(tmp_path: Path, name: str) -> None:
    assert _labels(tmp_path, name, "cat\nlabel\nsalt, pepper\n") == ["cat", "label", "salt, pepper"]


def test_json_is_read_as_yaml_is(tmp_path: Path) -> None:
    assert _labels(tmp_path, "labels.json", '["cat", "dog"]\n') == ["cat", "dog"]
    (cat, _) = _read(tmp_path, "labels.json", '{"cat": ["kitty"],\n "dog": []}')
    assert cat.aliases == ("kitty",)


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        ("cat, dog, a red car", "commas; did you mean 3 labels"),
        ("cat;dog\n", "semicolons; did you mean 2 labels"),
        ("# pets\ncat\tdog\n", "tabs; did you mean 2 labels"),
        ("salt, pepper; cat; dog", "semicolons; did you mean 3 labels"),
    ],
)
def test_one_line_of_several_labels_is_asked_about(tmp_path: Path, content: str, asked: str) -> None:
    with pytest.raises(BadFile, match=rf"labels\.txt: its one line holds {asked}\? Write one a line"):
        _read(tmp_path, "labels.txt", content)
    assert _labels(tmp_path, "labels.txt", "cat,\n") == ["cat,"]


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
            read_label_file(tmp_path / name)


CRANES = "label,aliases,description\ncrane,n1,a bird\ncat,,\nCrane,n2,a machine\nhot_dog,,\nhot  dog,,\ncrane,n1,\n"


def test_duplicates_are_made_one_class_and_counted(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(CRANES)
    notices = Notices()
    crane, cat, hot_dog = read_classes(tmp_path / "labels.csv", notices)
    assert (crane.label, crane.aliases, crane.descriptions) == ("crane", ("n1", "n2"), ("a bird", "a machine"))
    assert (crane.entries, cat.entries, hot_dog.entries) == (3, 1, 2)
    assert (cat.label, hot_dog.label) == ("cat", "hot_dog")
    assert [event.message for event in notices.events()][1:] == [
        "2 labels are given several times, such as 'crane' and 'Crane': made one class; --keep-duplicates keeps them"
        " apart"
    ]


def test_duplicates_may_be_kept_which_is_said(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(CRANES)
    notices = Notices()
    kept = read_classes(tmp_path / "labels.csv", notices, keep_duplicates=True)
    assert [one.label for one in kept] == ["crane", "cat", "Crane", "hot_dog", "hot  dog", "crane"]
    assert [event.message for event in notices.events()][1:] == [
        "2 labels are given several times, such as 'crane' and 'Crane': kept as separate classes, which share the score"
    ]
    assert [one.label for one in read_classes(["hot_dog", "hot dog"], Notices(), keep_names=True)] == [
        "hot_dog",
        "hot dog",
    ]


def test_a_name_of_two_classes_is_said(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("label,aliases\ncat,kitty\nKitty,\ndog,n02084071\nwolf,n02084071\n")
    notices = Notices()
    assert len(read_classes(tmp_path / "labels.csv", notices)) == 4
    assert [event.message for event in notices.events()] == [
        "1 name belongs to several classes, 'kitty' of 'cat' and 'Kitty': they share its score; leave it with one"
    ]


def test_names_are_the_label_and_its_aliases_each_once() -> None:
    assert LabelledClass("cat", ("kitty", "cat", "kitty")).names == ("cat", "kitty")


def test_a_sequence_of_labels_needs_no_file() -> None:
    assert [c.label for c in classes_from([" cat", "dog, big", "cat"], Notices())] == ["cat", "dog, big", "cat"]


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
    classes = classes_from(read_mapping(mapping), Notices())
    assert classes == read_label_file(tmp_path / "labels.yaml")
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
        classes_from(read_mapping(given), Notices())
    assert str(raised.value).startswith(message)


def test_a_text_or_a_path_names_a_labels_file(labels: Path) -> None:
    assert classes_from(labels, Notices()) == classes_from(str(labels), Notices()) == read_label_file(labels)


@pytest.mark.parametrize(("given", "names"), [([], "no labels"), (["cat", " "], "label 2: a label of only spaces")])
def test_a_sequence_without_a_usable_label_is_an_error(given: list[str], names: str) -> None:
    with pytest.raises(BadFile, match=names):
        classes_from(given, Notices())


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("cat, dog, a red car", ["cat", "dog", "a red car"]),
        ('"salt, pepper", cat,', ["salt, pepper", "cat"]),
        ("cat; dog", ["cat", "dog"]),
        ("cat, AC/DC, Mr. T, e.g. this", ["cat", "AC/DC", "Mr. T", "e.g. this"]),
        ("cat\na dog, asleep\r\n", ["cat", "a dog, asleep"]),
        ("cat", ["cat"]),
        ("St. Bernard", ["St. Bernard"]),
        ("猫,犬", ["猫", "犬"]),
    ],
)
def test_labels_may_be_written_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, labels: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [c.label for c in classes_from(text, Notices())] == labels


def test_a_file_goes_before_labels_of_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat, dog").write_text("horse\ncow\n")
    assert [c.label for c in classes_from("cat, dog", Notices())] == ["horse", "cow"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        *[(text, text) for text in ("labels.txt", "my labels.csv", "sub/labels", "labels.dat", "~/labels", "l.YAML")],
        ("a.txt, b.csv", "a.txt"),
    ],
)
def test_what_looks_like_a_file_is_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputNotFound) as e:
        classes_from(text, Notices())
    assert str(e.value) == (
        f"no labels file {named}; check the path, or give labels themselves, as in --labels 'cat, dog, a red car'"
    )


def test_a_label_may_end_as_a_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notices = Notices()
    assert [c.label for c in classes_from("cat,readme.txt", notices)] == ["cat", "readme.txt"]
    assert [event.message for event in notices.events()] == [
        "1 label is called like a file of labels, readme.txt: it was taken as a label, as there is no such file"
    ]
    Path("readme.txt").write_text("dog\n")
    with pytest.raises(
        UsageError, match=r"^readme\.txt among the labels is a file; give the file alone, or labels alone"
    ):
        classes_from("cat,readme.txt", Notices())


def test_a_file_without_its_suffix_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("label\ncat\n")
    with pytest.raises(InputNotFound, match=r"^no labels file labels; did you mean labels\.csv\?$"):
        classes_from("labels", Notices())


def test_labels_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Name;Aliases\ncafé;bar\n".encode("utf-16"))))
    [cafe] = classes_from("-", Notices())
    assert (cafe.label, cafe.aliases) == ("café", ("bar",))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(BadFile, match=r"^standard input line 1: no labels in it"):
        classes_from("-", Notices())
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputNotFound, match="there is none here"):
        classes_from("-", Notices())


def test_a_header_alone_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("Label\ncat\ndog\n")
    notices = Notices()
    assert [one.label for one in read_label_file(tmp_path / "l.txt", notices)] == ["cat", "dog"]
    [said] = [event.message for event in notices.events()]
    assert said.startswith(f"1 first line is a header, 'Label' of {tmp_path}/l.txt: left out")
    (tmp_path / "l.txt").write_text("cat\nlabel\n")
    assert [one.label for one in read_label_file(tmp_path / "l.txt")] == ["cat", "label"]


def test_a_folder_is_no_labels(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=rf"--labels {tmp_path} is a folder; give a file, or labels themselves"):
        read_label_file(tmp_path)
