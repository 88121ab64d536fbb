"""Labels that nest are a hierarchy, in files and in programs; what could be read in two ways is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipcli.classes.given import classes_from, read_classes
from clipcli.classes.label_files import read_label_file
from clipcli.classes.labels import LabelledClass
from clipcli.classes.tree import Tree, split_path, tree_of, written_path
from clipcli.commands.shared_settings import read_labels
from clipcli.errors import BadFile
from clipcli.notices import Notices


def _read(folder: Path, content: str, name: str = "labels.yaml") -> tuple[LabelledClass, ...]:
    (folder / name).write_text(content, encoding="utf-8")
    return read_label_file(folder / name)


def _paths(classes: tuple[LabelledClass, ...]) -> list[str]:
    return ["/".join((*one.groups, one.label)) for one in classes]


PETS = ["animal/dog/beagle", "animal/dog/husky", "animal/cat/tabby", "car"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.yaml", "animal: {dog: [beagle, husky], cat: [tabby]}\ncar:\n"),
        ("labels.yaml", "animal:\n  dog:\n    - beagle\n    - husky\n  cat: {tabby: }\ncar: {description: a car.}\n"),
        ("labels.yaml", "- animal:\n  - dog: [beagle, husky]\n  - cat:\n    - tabby:\n- car\n"),
        ("labels.yaml", "hierarchy:\n  animal: {dog: [beagle, husky], cat: [tabby]}\n  car: ~\n"),
        (
            "labels.yaml",
            "hierarchy:\n- animal:\n    dog:\n    - {beagle: , husky: {aliases: sled dog}}\n    cat: [tabby]\n- car",
        ),
        ("labels.json", '{"animal": {"dog": ["beagle", "husky"], "cat": ["tabby"]}, "car": null}'),
    ],
)
def test_a_hierarchy_may_be_written_in_mappings_and_lists(tmp_path: Path, name: str, content: str) -> None:
    assert _paths(_read(tmp_path, content, name)) == PETS


def test_two_levels_are_aliases_unless_hierarchy_is_said(tmp_path: Path) -> None:
    two = "dog: [beagle, husky]\ncat: [tabby]\n"
    assert _read(tmp_path, two) == (
        LabelledClass("dog", ("beagle", "husky"), line=1),
        LabelledClass("cat", ("tabby",), line=2),
    )
    below = "hierarchy:\n" + "".join(f"  {line}\n" for line in two.splitlines())
    assert _paths(_read(tmp_path, below)) == ["dog/beagle", "dog/husky", "cat/tabby"]
    assert _read(tmp_path, "hierarchy: [a, tree]\nother: []\n")[0].aliases == ("a", "tree")


def test_classes_keep_aliases_descriptions_and_lines(tmp_path: Path) -> None:
    content = (
        "pet:\n  cat:\n    aliases: [kitty]\n    description: a soft cat.\n  dog:\n    descriptions: [it barks.]\n"
    )
    cat, dog = _read(tmp_path, content)
    assert cat == LabelledClass("cat", ("kitty",), ("a soft cat.",), line=2, groups=("pet",))
    assert dog == LabelledClass("dog", (), ("it barks.",), line=5, groups=("pet",))
    assert tree_of((cat, dog)) == Tree((("pet",), ("pet",)))


def test_a_hierarchy_is_said_and_a_list_is_not(tmp_path: Path) -> None:
    notices = Notices()
    (tmp_path / "l.yaml").write_text("animal: {dog: [beagle, husky], cat: [tabby]}\ncar:\n")
    read_classes(tmp_path / "l.yaml", notices)
    assert [event.message for event in notices.events()] == [
        f"1 set of labels is a hierarchy, {tmp_path}/l.yaml (4 classes in 3 groups): what stands below a group are"
        " classes of their own, and no aliases"
    ]
    (tmp_path / "l.yaml").write_text("- dog:\n- cat: {aliases: [kitty]}\n")
    assert tree_of(read_classes(tmp_path / "l.yaml", notices)) is None
    assert list(notices.events()) == []


@pytest.mark.parametrize("text", ["no", "12", "1.0", "null"])
def test_names_stay_the_text_that_was_written(tmp_path: Path, text: str) -> None:
    [one] = _read(tmp_path, f"{text}a: {{{text}b: ['{text}']}}")
    assert (*one.groups, one.label) == (f"{text}a", f"{text}b", text)


TWICE = "is in the hierarchy twice"


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (
            "animal:\n  dog: beagle\n",
            2,
            r"unknown key 'dog'; .* write dog: \[beagle\] for a class in a group, and dog: {a",
        ),
        ("cat:\n  alias: [kitty]\n", 2, r"unknown key 'alias'; did you mean aliases\?"),
        ("cat:\n  Aliases: [kitty]\n", 2, r"unknown key 'Aliases'; did you mean aliases\?"),
        ("cat:\n  aliases: [kitty]\n  tabby: [x]\n", 1, "'cat' has aliases, as a class, and 'tabby', as a group"),
        ("pet:\n  cat: []\n  dog: [beagle]\n", 2, "the group 'cat' is empty; write its classes, or 'cat:' alone"),
        ("pet: {dog: [beagle]}\ncat: {}\n", 2, "the group 'cat' is empty"),
        (
            "pet:\n  dog: [beagle]\n  cat: [Beagle]\n",
            3,
            rf"'Beagle' {TWICE} \(before: .* line 2\); a name has one place",
        ),
        ("pet:\n  dog: [dog]\n  cat: [tabby]\n", 2, f"'dog' {TWICE}"),
        ("pet:\n  other: [dog]\nwild:\n  other: [wolf]\n", 4, f"'other' {TWICE}"),
        ("pet:\n  dog: [beagle]\n  dog: [husky]\n", 3, f"'dog' {TWICE}"),
        ("pet:\n  hot_dog:\n  sausage: [hot  dog]\n", 3, f"'hot  dog' {TWICE}"),
        ("pet:\n  dog: &dogs [beagle]\n  cat: *dogs\n", 2, f"'beagle' {TWICE}"),
        ("pet: &pet\n  dog: [beagle]\n  cat: *pet\n", 1, "the labels hold themselves"),
        ("- pet: &pet\n  - dog: [beagle]\n  - *pet\n", 1, "the labels hold themselves"),
        (
            "- pet: [beagle, [husky]]\n",
            1,
            r"a list within a list has no name; write one before it, as in dog: \[beagle\]",
        ),
        ("- pet: [beagle]\n- cat: [' ']\n", 2, "a label of only spaces"),
        ("- pet: [beagle]\n- ' ': [cat]\n", 2, "a label of only spaces"),
        ("- pet: [beagle]\n- [1, 2]: [cat]\n", 2, "a label is text; put"),
        ("pet:\n  cat: {aliases: {a: b}}\n  dog: [x]\n", 2, "an alias or description must be text"),
        ("hierarchy: [dog, cat]\n", 1, r"no group in the hierarchy; write its classes below it, as in dog: \[beagle\]"),
        ("[" * 60 + "{a: [b]}" + "]" * 60, 1, "labels nest more than 50 deep"),
    ],
)
def test_what_is_no_hierarchy_is_an_error_with_its_line(tmp_path: Path, content: str, line: int, message: str) -> None:
    with pytest.raises(BadFile, match=rf"labels\.yaml line {line}: {message}"):
        _read(tmp_path, content)


def test_endless_nesting_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"labels\.yaml: it nests too deep"):
        _read(tmp_path, "[" * 9000)


MAPPED: list[Any] = [
    {"animal": {"dog": ["beagle", "husky"], "cat": {"tabby": None}}, "car": None},
    {"hierarchy": {"animal": {"dog": ("beagle", "husky"), "cat": ["tabby"]}, "car": {"aliases": "auto"}}},
    [{"animal": [{"dog": ["beagle", "husky"]}, {"cat": ["tabby"]}]}, "car"],
    iter([{"animal": [{"dog": iter(["beagle", "husky"]), "cat": ["tabby"]}]}, "car"]),
]


@pytest.mark.parametrize("given", MAPPED)
def test_a_program_gives_a_hierarchy_as_a_file_has_it(given: Any) -> None:
    kept = read_labels(given)
    assert read_labels(kept) == kept
    assert list(kept) == ["hierarchy"]
    assert _paths(classes_from(kept, Notices())) == PETS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": {"dog": "beagle"}}, r"label 'dog': unknown key 'dog'; .* write dog: \[beagle\]"),
        ({"a": {"dog": ["x"], 1: ["y"]}}, "label 1: a label is text, not int"),
        ({"a": {"dog": ["x", 1]}}, "label 'dog': a label is text, not int"),
        ({"a": {"dog": []}}, "label 'dog': the group 'dog' is empty"),
        ({"a": {"dog": {"aliases": [1]}, "cat": ["y"]}}, "label 'dog': an alias or description must be text"),
        ({"a": {"dog": ["x"]}, "b": ["X"]}, "label 'b': 'X' is in the hierarchy twice"),
    ],
)
def test_what_is_no_hierarchy_of_a_program_is_an_error(given: Any, message: str) -> None:
    with pytest.raises(BadFile, match=f"^(?:{message})"):
        classes_from(read_labels(given), Notices())


def test_a_mapping_that_holds_itself_is_an_error() -> None:
    endless: dict[str, Any] = {"dog": ["beagle"]}
    endless["cat"] = endless
    with pytest.raises(BadFile, match="label 'cat': the labels hold themselves"):
        read_labels(endless)


TREE = Tree((("animal", "dog"), ("animal", "dog"), (), ("animal",), ("thing",)))
NAMES = ("beagle", "husky", "sky", "cow", "car")


def test_a_tree_has_its_groups_in_order_and_paths_of_all_names() -> None:
    assert TREE.nodes == (("animal",), ("animal", "dog"), ("thing",))
    assert TREE.names(NAMES) == (*NAMES, "animal", "dog", "thing")
    assert ["/".join(path) for path in TREE.paths(NAMES)] == [
        *("animal/dog/beagle", "animal/dog/husky", "sky", "animal/cow", "thing/car"),
        *("animal", "animal/dog", "thing"),
    ]


@pytest.mark.parametrize(
    ("tree", "fits"),
    [
        (TREE, True),
        (Tree(TREE.groups[:4]), False),
        (Tree((*TREE.groups[:4], ("dog",))), False),
        (Tree((*TREE.groups[:4], ("sky",))), False),
    ],
)
def test_a_tree_fits_its_labels_where_each_name_is_one_thing(tree: Tree, fits: bool) -> None:
    assert tree.fits(NAMES) is fits


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("animal", "dog"), "animal/dog"),
        (("beagle",), "beagle"),
        (("screen / divider", "AC/DC"), r"screen \/ divider/AC\/DC"),
        (("a\\", "b"), "a\\\\/b"),
    ],
)
def test_a_path_comes_back_from_its_text(path: tuple[str, ...], text: str) -> None:
    assert written_path(path) == text
    assert split_path(text) == path
