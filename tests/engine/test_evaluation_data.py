"""Labelled data of every kind is read alike, and what cannot be used is named."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcli.errors import BadFile, ClipcliError, InputNotFound, UsageError
from clipcli.evaluation.classes import classes_in, given_classes, truth_of
from clipcli.evaluation.data import read_labelled, task_of
from clipcli.evaluation.labelled import Columns, Labelled, LabelledData, labelled_of
from clipcli.evaluation.request import named_data, read_shots, split_list
from clipcli.labels import LabelledClass
from clipcli.pairs.pair import Data
from clipcli.types import Skipped

ANY = Columns()


def jpeg(seed: int = 0) -> bytes:
    """A small photo."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three classes with two images each."""
    for label in ("grey wolf", "red_fox", "yak"):
        folder = tmp_path / "tree" / label
        folder.mkdir(parents=True)
        for n in range(2):
            (folder / f"{n}.jpg").write_bytes(jpeg(n))
    return tmp_path / "tree"


def named(read: LabelledData) -> list[tuple[str, str]]:
    """The places and names of the images that have a label."""
    return [(labelled.key, labelled.name) for labelled in labelled_of(read)]


IN_TREE = [(f"{label}/{n}", label) for label in ("grey wolf", "red_fox", "yak") for n in range(2)]


def zipped(tree: Path, target: Path, *, prefix: str = "", extra: dict[str, str] | None = None) -> Path:
    """The tree in a zip, below a folder, with more files at its root."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(tree.rglob("*.jpg")):
            archive.write(path, f"{prefix}{path.relative_to(tree)}")
        for name, text in (extra or {}).items():
            archive.writestr(name, text)
    return target


def sharded(target: Path, members: dict[str, bytes]) -> Path:
    """A shard of these members."""
    with tarfile.open(target, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target


def read(path: object, columns: Columns = ANY) -> LabelledData:
    return read_labelled(Data(str(path)), columns)


def test_a_tree_in_a_folder_and_in_a_zip(tree: Path, tmp_path: Path) -> None:
    (tree / "loose.jpg").write_bytes(jpeg())
    found = read(tree)
    assert named(found) == IN_TREE
    assert [entry.reason for entry in found.entries if isinstance(entry, Skipped)] == ["not in a class folder"]
    (tree / "loose.jpg").unlink()
    archive = zipped(tree, tmp_path / "data.zip", prefix="val/")
    assert named(read(f"{archive}/val")) == IN_TREE


def test_empty_folders_are_classes(tree: Path, tmp_path: Path) -> None:
    (tree / "zebu").mkdir()
    (tree / ".hidden").mkdir()
    assert read(tree).names == ("grey wolf", "red_fox", "yak", "zebu")
    archive = zipped(tree, tmp_path / "data.zip", extra={"zebu/": ""})
    assert read(archive).names == ("grey wolf", "red_fox", "yak", "zebu")


@pytest.mark.parametrize("columns", ["file_name,label", "image,truth,label", "path,class,score"])
def test_a_table_beside_its_images(tree: Path, columns: str) -> None:
    lines = [f"{label}/{n}.jpg,{label},x" for label in ("grey wolf", "red_fox", "yak") for n in range(2)]
    table = tree / "table.csv"
    table.write_text("\n".join([columns + ",more" * (columns.count(",") == 1), *lines]) + "\n")
    assert named(read(table)) == IN_TREE


def test_what_classify_wrote_names_paths_from_where_it_ran(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    zipped(tree, tmp_path / "data.zip")
    (tmp_path / "out").mkdir()
    table = tmp_path / "out" / "labels.csv"
    rows = ["tree/yak/0.jpg,yak,0.9,", "tree/bad.jpg,,,not an image", "data.zip/yak/1.jpg,red_fox,0.5,"]
    table.write_text("path,label,score,error\n" + "\n".join(rows) + "\n")
    found = read(table)
    images = list(labelled_of(found))
    assert [(image.item.id, image.name) for image in images] == [
        ("tree/yak/0.jpg", "yak"),
        ("data.zip/yak/1.jpg", "red_fox"),
    ]
    assert all(Image.open(io.BytesIO(image.item.read())) for image in images)
    assert [entry.reason for entry in found.entries if isinstance(entry, Skipped)] == ["no label"]


def test_a_table_in_a_zip_and_a_table_of_json(tree: Path, tmp_path: Path) -> None:
    rows = "file,label\nphotos/yak/0.jpg,yak\nphotos/red_fox/1.jpg,red_fox\nphotos/none.jpg,yak\n"
    archive = zipped(tree, tmp_path / "data.zip", prefix="photos/", extra={"table.csv": rows})
    for text in (str(archive), f"{archive}/table.csv"):
        found = read(text)
        assert [labelled.name for labelled in labelled_of(found)] == ["yak", "red_fox"]
        assert [e.reason for e in found.entries if isinstance(e, Skipped)] == ["no image 'photos/none.jpg'"]
    lines = [{"image": "yak/0.jpg", "label": 3}, {"image": "yak/1.jpg", "label": None}]
    (tree / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = read(tree / "t.jsonl")
    assert [labelled.name for labelled in labelled_of(found)] == ["3"]


@pytest.mark.parametrize(
    ("suffix", "texts"),
    [
        ("cls", [b"yak", b"red_fox\n"]),
        ("txt", [b"yak\n", b"red_fox"]),
        ("json", [b'{"label": "yak"}', b'{"class": "red_fox", "x": 1}']),
        ("cls", [b"2", b"1"]),
    ],
)
def test_shards(tmp_path: Path, suffix: str, texts: list[bytes]) -> None:
    members: dict[str, bytes] = {}
    for n, text in enumerate(texts):
        members |= {f"a/{n}.jpg": jpeg(n), f"a/{n}.{suffix}": text}
    found = read(sharded(tmp_path / "x.tar", members | {"a/9.jpg": jpeg()}))
    classes = given_classes([LabelledClass(name) for name in ("grey wolf", "red fox", "yak")], where="labels.txt")
    assert [labelled.key for labelled in labelled_of(found)] == ["a/0", "a/1"]
    assert truth_of(found, classes, allow_empty=True).tolist() == [2, 1]
    assert [entry.reason for entry in found.entries if isinstance(entry, Skipped)] == ["no label"]


def test_labels_map_folders_by_names_and_aliases(tree: Path) -> None:
    labels = [LabelledClass("yak"), LabelledClass("Grey Wolf"), LabelledClass("fox", aliases=("red fox",))]
    classes = given_classes(labels, where="labels.csv")
    assert truth_of(read(tree), classes, allow_empty=False).tolist() == [1, 1, 2, 2, 0, 0]
    assert classes.names == ("yak", "Grey Wolf", "fox")


def test_folders_name_classes_as_they_are_and_prompts_have_spaces(tree: Path) -> None:
    classes = classes_in([read(tree)])
    assert classes.names == ("grey wolf", "red_fox", "yak")
    assert [labelled.label for labelled in classes.classes] == ["grey wolf", "red fox", "yak"]


def test_what_a_data_is_for(tree: Path, tmp_path: Path) -> None:
    def task(path: object, columns: Columns = ANY, *, labelled: bool = False) -> str:
        return task_of(Data(str(path)), columns, labelled=labelled)

    assert task(tree) == "classification"
    captioned = tmp_path / "captioned"
    captioned.mkdir()
    (captioned / "1.jpg").write_bytes(jpeg())
    (captioned / "1.txt").write_text("a yak\n")
    assert task(captioned) == "retrieval"
    assert task(captioned, labelled=True) == "classification"
    for header, expected in (("image,caption", "retrieval"), ("image,label", "classification")):
        (tmp_path / "t.csv").write_text(f"{header}\n1.jpg,a yak\n")
        assert task(tmp_path / "t.csv") == expected
    assert task(tmp_path / "t.csv", Columns(caption="label")) == "retrieval"
    for texts, expected in ((b"ab", "retrieval"), (b"aa", "classification")):
        members = {f"{n}.{suffix}": bytes([text]) for n, text in enumerate(texts * 2) for suffix in ("jpg", "txt")}
        if expected == "retrieval":
            members = {name: data + name.encode() for name, data in members.items()}
        assert task(sharded(tmp_path / "x.tar", members)) == expected
    assert task(sharded(tmp_path / "x.tar", {"1.jpg": b"", "1.txt": b"a", "1.cls": b"0"})) == "classification"


def test_mistakes_in_data(tmp_path: Path) -> None:
    def message(error: type[ClipcliError], path: object, columns: Columns = ANY) -> str:
        with pytest.raises(error) as raised:
            read(path, columns)
        return str(raised.value)

    assert message(InputNotFound, tmp_path / "none") == f"no such data: {tmp_path / 'none'}; check the path"
    (tmp_path / "t.csv").write_text("name,size\na,1\n")
    assert message(BadFile, tmp_path / "t.csv").startswith(
        f"{tmp_path}/t.csv: no image column ('filepath', 'file_name', 'filename', 'image', 'image_path', 'path',"
        " 'file')"
        " and no label column ('truth', 'label', 'class', 'class_name', 'category', 'target')"
        " among its columns 'name', 'size'; name the columns with --image-column and --label-column"
    )
    assert "no label column ('kind') among its columns" in message(
        BadFile, tmp_path / "t.csv", Columns(image="name", label="kind")
    )
    (tmp_path / "flat").mkdir()
    assert "expected images with labels and found none; give a folder" in message(InputNotFound, tmp_path / "flat")
    (tmp_path / "flat" / "1.jpg").write_bytes(jpeg())
    assert "found none but" in message(InputNotFound, tmp_path / "flat")


def test_labels_that_stand_there_twice_are_told_apart(tmp_path: Path) -> None:
    labels = [LabelledClass(label) for label in ("yak", "yak (2)", "yak", "fox", "yak")]
    classes = given_classes(labels, where="labels.txt")
    assert classes.names == ("yak", "yak (2)", "yak (3)", "fox", "yak (4)")
    assert classes.classes == tuple(labels)
    for n in range(5):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(n))
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{n}.jpg,{4 - n}\n" for n in range(5)))
    assert truth_of(read(tmp_path / "t.csv"), classes, allow_empty=False).tolist() == [4, 3, 2, 1, 0]


def test_mistakes_in_classes(tree: Path) -> None:
    found = read(tree)
    yak, fox, wolf = LabelledClass("yak"), LabelledClass("red fox"), LabelledClass("grey wolf")
    with pytest.raises(BadFile, match="one label only, 'yak'; expected at least two"):
        given_classes([yak], where="labels.txt")
    with pytest.raises(BadFile, match=r"no label fits folders 'grey wolf', 'red_fox', 'yak'; .* as in 'cat', 'dog'"):
        truth_of(found, given_classes([LabelledClass("cat"), LabelledClass("dog")], where="x"), allow_empty=False)
    four = given_classes([yak, fox, wolf, LabelledClass("zebu")], where="labels.txt")
    with pytest.raises(UsageError, match=r"no image of class 'zebu', and expected is at least one of each of the 4 cl"):
        truth_of(found, four, allow_empty=False)
    assert set(truth_of(found, four, allow_empty=True)) == {0, 1, 2}
    (tree / "zebu").mkdir()
    with pytest.raises(UsageError, match="no image of class 'zebu'"):
        truth_of(read(tree), classes_in([read(tree)]), allow_empty=False)
    (tree / "zebu").rmdir()
    one = LabelledData("d", "folder", (Labelled(next(labelled_of(found)).item, "yak", "k"),), ("yak",))
    with pytest.raises(UsageError, match="d: one class only, 'yak'; expected images of at least two classes"):
        classes_in([one])
    with pytest.raises(UsageError, match=r"do not have the same classes: only one of them has 'grey wolf', 'red_fox'"):
        classes_in([found, one])
    numbers = LabelledData("d", "value", (Labelled(one.entries[0].item, "7", "k"),), ("7", "8"))  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="its classes are numbers, such as '7', '8', and expected are names"):
        classes_in([numbers])
    with pytest.raises(BadFile, match="class number 7 is too large for 4 labels; expected numbers from 0 to 3"):
        truth_of(numbers, four, allow_empty=True)


def test_how_lists_and_names_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert split_list(["plain, name,plain", "a {}, they say", "a,b"]) == ("plain", "name", "a {}, they say", "a,b")
    assert named_data(["x/val", "photos=y/val"]) == (("val", "x/val"), ("photos", "y/val"))
    assert named_data(["x/val", "y/val"]) == (("x/val", "x/val"), ("y/val", "y/val"))
    with pytest.raises(UsageError, match="two DATA are called 'a'"):
        named_data(["a=x", "a=y"])
    with pytest.raises(InputNotFound, match="no DATA was given"):
        named_data([])
    assert read_shots("1, 4,full,4") == (1, 4, None)
    with pytest.raises(UsageError, match="'0' is not a number of images; write it as in 1,2,4,full"):
        read_shots("2,0")
