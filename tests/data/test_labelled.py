"""Labelled data of every kind is read alike, and what cannot be used is named."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from small_data import ANY, grown, jpeg, read, sharded, zipped

from clipcli.classes.labels import LabelledClass
from clipcli.commands.evaluate.classes import classes_from_labels, truth_of
from clipcli.data.columns import Columns
from clipcli.data.labelled import LabelledData, labelled_of, named_twice
from clipcli.data.reference import read as read_bytes
from clipcli.data.task import task_of
from clipcli.data.tree import Data
from clipcli.errors import BadFile, ClipcliError, InputNotFound
from clipcli.records import Skipped


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three classes with two images each."""
    return grown(tmp_path / "tree")


def named(read: LabelledData) -> list[tuple[str, str]]:
    """The places and names of the images that have a label."""
    return [(labelled.key, labelled.name) for labelled in labelled_of(read)]


IN_TREE = [(f"{label}/{n}", label) for label in ("grey wolf", "red_fox", "yak") for n in range(2)]


IN_TREE = [(f"{label}/{n}", label) for label in ("grey wolf", "red_fox", "yak") for n in range(2)]


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
    assert all(Image.open(io.BytesIO(read_bytes(image.item.reference))) for image in images)
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
    classes = classes_from_labels([LabelledClass(name) for name in ("grey wolf", "red fox", "yak")], where="labels.txt")
    assert [labelled.key for labelled in labelled_of(found)] == ["a/0", "a/1"]
    assert truth_of(found, classes, allow_empty=True).tolist() == [2, 1]
    assert [entry.reason for entry in found.entries if isinstance(entry, Skipped)] == ["no label"]


def test_images_beside_a_table_are_no_folder_of_images(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "q/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    (tmp_path / "table.csv").write_text("image,label\na.jpg,yak\nb.jpg,zebu\nq/c.jpg,yak\n")
    assert named(read(tmp_path)) == [("a", "yak"), ("b", "zebu"), ("q/c", "yak")]


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
    for header, expected in (
        *(("image,caption", "retrieval"), ("image,label", "classification")),
        *(("image,split", "classification"), ("image,label,caption", "classification")),
    ):
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
        " 'file' and 1 more)"
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


def test_a_zip_that_a_table_leads_into_is_opened_once(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped(tree, tmp_path / "data.zip")
    rows = [f"data.zip/{label}/{n}.jpg,{label}" for label in ("yak", "red_fox") for n in range(2)]
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join([*rows, "data.zip/yak,yak", "data.zip/no.jpg,yak"]))
    opened: list[object] = []
    real = zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda path: (opened.append(path), real(path))[1])
    found = list(labelled_of(read(tmp_path / "t.csv")))
    assert opened == [str(tmp_path / "data.zip")]
    assert all(Image.open(io.BytesIO(read_bytes(image.item.reference))) for image in found[:4])
    for image in found[4:]:
        with pytest.raises(OSError, match=r"data\.zip"):
            read_bytes(image.item.reference)


def test_a_few_stray_captions_make_no_retrieval(tree: Path) -> None:
    for suffix, text in (("txt", "taken in May"), ("json", "{}")):
        (tree / "yak" / f"0.{suffix}").write_text(text)
    assert task_of(Data(str(tree)), ANY, labelled=False) == "classification"
    for path in tree.rglob("*.jpg"):
        path.with_suffix(".txt").write_text("an animal")
    assert task_of(Data(str(tree)), ANY, labelled=False) == "retrieval"


def test_numbers_with_a_point_and_separators_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"image": "1.jpg", "label": 1.0}\n{"image": "2.jpg", "label": 1.5}\n')
    found = read(tmp_path / "t.jsonl")
    assert [labelled.name for labelled in labelled_of(found)] == ["1"]
    assert [entry.reason for entry in found.entries if isinstance(entry, Skipped)] == ["no label"]
    (tmp_path / "t.tsv").write_text("image;label\n1.jpg;yak\n")
    with pytest.raises(BadFile, match=r"they seem to be separated by ';': save it with commas, or with tabs as .tsv"):
        read(tmp_path / "t.tsv")


def test_images_with_several_labels(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\n1.jpg,yak\n./1.jpg,fox\n2.jpg,yak\n2.jpg,yak\n")
    assert named_twice(read(tmp_path / "t.csv")) == {f"{tmp_path}/1.jpg": ("yak", "fox")}
