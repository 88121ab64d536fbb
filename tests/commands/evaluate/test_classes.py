"""Which classes there are, and which of them each image is of."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from small_data import grown, in_memory, jpeg, read, sharded

from clipcli.classes.given import read_classes
from clipcli.classes.labels import LabelledClass
from clipcli.commands.evaluate.classes import classes_from_data, classes_from_labels, shared_prompt_warnings, truth_of
from clipcli.data.labelled import Labelled, LabelledData, labelled_of
from clipcli.errors import BadFile, UsageError
from clipcli.notices import Notices


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three classes with two images each."""
    return grown(tmp_path / "tree")


def test_labels_map_folders_by_names_and_aliases(tree: Path) -> None:
    labels = [LabelledClass("yak"), LabelledClass("Grey Wolf"), LabelledClass("fox", aliases=("red fox",))]
    classes = classes_from_labels(labels, where="labels.csv")
    assert truth_of(read(tree), classes, allow_empty=False).tolist() == [1, 1, 2, 2, 0, 0]
    assert classes.names == ("yak", "Grey Wolf", "fox")


def test_folders_name_classes_as_they_are_and_prompts_have_spaces(tree: Path) -> None:
    classes = classes_from_data([read(tree)], Notices(), keep_names=False)
    assert classes.names == ("grey wolf", "red_fox", "yak")
    assert [labelled.label for labelled in classes.classes] == ["grey wolf", "red fox", "yak"]


def test_labels_that_stand_there_twice_are_told_apart(tmp_path: Path) -> None:
    labels = [LabelledClass(label) for label in ("yak", "yak (2)", "yak", "fox", "yak")]
    classes = classes_from_labels(labels, where="labels.txt")
    assert classes.names == ("yak", "yak (2)", "yak (3)", "fox", "yak (4)")
    assert classes.classes == tuple(labels)
    for n in range(5):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(n))
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{n}.jpg,{4 - n}\n" for n in range(5)))
    assert truth_of(read(tmp_path / "t.csv"), classes, allow_empty=False).tolist() == [4, 3, 2, 1, 0]


def test_numbers_do_not_count_labels_that_were_made_one(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(jpeg())
    (tmp_path / "t.csv").write_text("image,label\n0.jpg,2\n")
    merged, kept = (
        classes_from_labels(read_classes(["yak", "yak", "fox"], Notices(), keep_duplicates=keep), where="labels.txt")
        for keep in (False, True)
    )
    with pytest.raises(BadFile, match="its classes are numbers, and the labels hold 'yak' several times; give --keep"):
        truth_of(read(tmp_path / "t.csv"), merged, allow_empty=True)
    assert truth_of(read(tmp_path / "t.csv"), kept, allow_empty=True).tolist() == [2]


def test_mistakes_in_classes(tree: Path) -> None:
    found = read(tree)
    yak, fox, wolf = LabelledClass("yak"), LabelledClass("red fox"), LabelledClass("grey wolf")
    with pytest.raises(BadFile, match="one label only, 'yak'; expected at least two"):
        classes_from_labels([yak], where="labels.txt")
    with pytest.raises(BadFile, match=r"no label fits folders 'grey wolf', 'red_fox', 'yak'; .* as in 'cat', 'dog'"):
        truth_of(found, classes_from_labels([LabelledClass("cat"), LabelledClass("dog")], where="x"), allow_empty=False)
    four = classes_from_labels([yak, fox, wolf, LabelledClass("zebu")], where="labels.txt")
    with pytest.raises(UsageError, match=r"no image of class 'zebu', and expected is at least one of each of the 4 cl"):
        truth_of(found, four, allow_empty=False)
    assert set(truth_of(found, four, allow_empty=True)) == {0, 1, 2}
    (tree / "zebu").mkdir()
    with pytest.raises(UsageError, match="no image of class 'zebu'"):
        truth_of(read(tree), classes_from_data([read(tree)], Notices(), keep_names=False), allow_empty=False)
    (tree / "zebu").rmdir()
    one = LabelledData("d", "folder", (Labelled(next(labelled_of(found)).item, "yak", "k"),), ("yak",))
    with pytest.raises(UsageError, match="d: one class only, 'yak'; expected images of at least two classes"):
        classes_from_data([one], Notices(), keep_names=False)
    with pytest.raises(UsageError, match=r"do not have the same classes: only one of them has 'grey wolf', 'red_fox'"):
        classes_from_data([found, one], Notices(), keep_names=False)
    numbers = LabelledData("d", "value", (Labelled(one.entries[0].item, "7", "k"),), ("7", "8"))  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="its classes are numbers, such as '7', '8', and expected are names"):
        classes_from_data([numbers], Notices(), keep_names=False)
    with pytest.raises(BadFile, match="class number 7 is too large for 4 labels; expected numbers from 0 to 3"):
        truth_of(numbers, four, allow_empty=True)


def test_training_data_with_other_classes(tree: Path) -> None:
    classes = classes_from_data([read(tree)], Notices(), keep_names=False)
    shutil.move(tree / "yak", tree / "gnu")
    (tree / "empty").mkdir()
    with pytest.raises(
        BadFile, match=r"no class of DATA fits 'gnu'; its classes are 'grey wolf', .*with --labels FILE"
    ):
        truth_of(read(tree), classes, allow_empty=True)


def test_names_in_a_table_have_spaces_in_prompts_too(tree: Path, tmp_path: Path) -> None:
    lines = "".join(f"{label}/{n}.jpg,{label}\n" for label in ("grey wolf", "red_fox", "yak") for n in range(2))
    (tree / "t.csv").write_text(f"image,label\n{lines}")
    of_table, of_folders = read(tree / "t.csv"), read(tree)
    for data in ([of_table, of_folders], [of_folders, of_table]):
        assert [labelled.label for labelled in classes_from_data(data, Notices(), keep_names=False).classes] == [
            "grey wolf",
            "red fox",
            "yak",
        ]
    shards = sharded(tmp_path / "x.tar", {"1.jpg": jpeg(), "1.cls": b"7", "2.jpg": jpeg(), "2.cls": b"8"})
    folders = LabelledData("d", "folder", (Labelled(in_memory("7/1.jpg", jpeg()), "7", "7/1"),), ("7", "8"))
    with pytest.raises(UsageError, match="its classes are numbers, such as '7', '8', and expected are names"):
        classes_from_data([folders, read(shards)], Notices(), keep_names=False)


def test_names_that_become_one_prompt_are_told_of(tree: Path) -> None:
    shutil.copytree(tree / "yak", tree / "red fox")
    [message] = shared_prompt_warnings(classes_from_data([read(tree)], Notices(), keep_names=False))
    assert message.startswith("'red fox', 'red_fox' are separate classes with the same prompts")


def test_images_two_folders_deep(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    for split in ("train", "val"):
        shutil.copytree(tree, tmp_path / "small" / split)
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as archive:
        for path in sorted((tmp_path / "small").rglob("*.jpg")):
            archive.write(path, path.relative_to(tmp_path / "small"))
    for place in (tmp_path / "small", tmp_path / "small.zip"):
        with pytest.raises(UsageError, match=rf"two folders deep, below 'train', 'val'; did you mean {place}/val\?"):
            classes_from_data([read(place)], Notices(), keep_names=False)
    (tmp_path / "small" / "val" / "1.jpg").write_bytes(jpeg())
    assert classes_from_data([read(tmp_path / "small")], Notices(), keep_names=False).names == ("train", "val")


def test_a_folder_without_images_can_be_left_out_by_labels(tree: Path) -> None:
    (tree / "annotations").mkdir()
    found = read(tree)
    with pytest.raises(UsageError, match=r"no image of class 'annotations'.* name the classes with --labels FILE, or"):
        truth_of(found, classes_from_data([found], Notices(), keep_names=False), allow_empty=False)
    given = classes_from_labels([LabelledClass(name) for name in ("yak", "red fox", "grey wolf")], where="labels.txt")
    assert truth_of(found, given, allow_empty=False).tolist() == [2, 2, 1, 1, 0, 0]
