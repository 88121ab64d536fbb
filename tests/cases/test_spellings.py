"""Names of files and classes in other spellings than on the disk: backslashes, spaces, forms of Unicode, ids."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from clipcli.classes.duplicates import one_of_each
from clipcli.classes.labels import LabelledClass
from clipcli.classes.normal_form import composed
from clipcli.commands.evaluate.classes import classes_from_data, classes_from_labels, truth_of
from clipcli.commands.evaluate.comparison import check_other_labels
from clipcli.data.columns import Columns
from clipcli.data.images import list_images
from clipcli.data.labelled import labelled_of, named_twice, read_labelled
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.reference import NoImage
from clipcli.data.reference import read as read_bytes
from clipcli.data.tree import Data
from clipcli.errors import BadFile
from clipcli.notices import Notices
from clipcli.records import ImageItem

NFC, NFD = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(*names: str) -> None:
    """Files whose content is their name."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())


def contents(found: PairsRead) -> list[str]:
    return [read_bytes(pair.item.reference).decode() for pair in found.pairs]


def pairs(text: str, notices: Notices | None = None) -> PairsRead:
    return read_pairs(Data(text, notices or Notices()), options=PairOptions(("a {}",)))


def said(notices: Notices) -> list[str]:
    return [event.message for event in notices.events()]


def as_csv(rows: list[tuple[str, str]]) -> str:
    return "file_name,caption\n" + "".join(f"{image},{caption}\n" for image, caption in rows)


def as_tsv(rows: list[tuple[str, str]]) -> str:
    return as_csv(rows).replace(",", "\t")


def as_jsonl(rows: list[tuple[str, str]]) -> str:
    return "".join(json.dumps({"file_name": image, "caption": caption}) + "\n" for image, caption in rows)


TABLES: dict[str, Callable[[list[tuple[str, str]]], str]] = {
    "t.csv": as_csv,
    "t.tsv": as_tsv,
    "t.jsonl": as_jsonl,
    "metadata.csv": as_csv,
    "metadata.jsonl": as_jsonl,
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("zipped", [False, True])
def test_backslashes_in_tables_of_windows(name: str, zipped: bool) -> None:
    """Car-Model-Recognition#6: `images\\00.jpg` in a table that was written on Windows."""
    put("d/images/00.jpg", "d/images/01.jpg", "d/images/02.jpg")
    rows = [(r"images\00.jpg", "a cat"), ("images/01.jpg", "a dog"), (r".\images\02.jpg", "a cow")]
    Path("d", name).write_text(TABLES[name](rows))
    data = "d" if name.startswith("metadata") else f"d/{name}"
    if zipped:
        with zipfile.ZipFile("z.zip", "w") as archive:
            for path in Path("d").rglob("*.*"):
                archive.write(path, path.relative_to("d"))
        data = data.replace("d", "z.zip", 1)
    notices = Notices()
    found = pairs(data, notices)
    assert contents(found) == ["d/images/00.jpg", "d/images/01.jpg", "d/images/02.jpg"]
    assert [pair.captions for pair in found.pairs] == [("a cat",), ("a dog",), ("a cow",)]
    assert found.skipped == []
    (message,) = said(notices)
    assert message.startswith(r"2 paths have backslashes and are no files, such as ")
    if not zipped and not name.startswith("metadata"):
        assert [pair.item.id for pair in found.pairs] == [f"d/{image}" for image, _ in rows]


def test_a_name_with_a_backslash_that_is_there_is_taken() -> None:
    put(r"d/images\00.jpg", "d/images/00.jpg")
    Path("d/t.csv").write_text(as_csv([(r"images\00.jpg", "a cat"), ("images/00.jpg", "a dog")]))
    assert contents(pairs("d/t.csv")) == [r"d/images\00.jpg", "d/images/00.jpg"]


def test_one_image_in_two_spellings_has_the_captions_of_both() -> None:
    put("d/images/00.jpg")
    Path("d/t.csv").write_text(
        as_csv([(r"images\00.jpg", "one"), ("images/00.jpg", "two"), (" images/00.jpg", "three")])
    )
    assert [pair.captions for pair in pairs("d/t.csv").pairs] == [("one", "two", "three")]
    Path("d/l.csv").write_text("image,label\nimages\\00.jpg,cat\nimages/00.jpg,dog\n")
    assert list(named_twice(read_labelled(Data("d/l.csv"), Columns())).values()) == [("cat", "dog")]


@pytest.mark.parametrize("from_stdin", [False, True])
def test_backslashes_in_lists(from_stdin: bool) -> None:
    put("cat/00.jpg", "red fox/00.jpg", "red fox/00.txt")
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr("in/c.jpg", "c")
    lines = "cat\\00.jpg\r\nred fox\\00.jpg\r\nz.zip\\in\\c.jpg\r\ngone\\00.jpg\r\n"
    Path("list.txt").write_text(lines)
    notices = Notices()
    items = list_images(["-" if from_stdin else "@list.txt"], stdin=StringIO(lines, newline=""), notices=notices)
    assert [item.id for item in items] == ["cat\\00.jpg", "red fox\\00.jpg", "z.zip/in/c.jpg", "gone\\00.jpg"]
    assert [read_bytes(item.reference) for item in items[:3]] == [b"cat/00.jpg", b"red fox/00.jpg", b"c"]
    assert len(said(notices)) == 1
    labels = [one.name for one in labelled_of(read_labelled(Data("@list.txt"), Columns()))]
    assert labels[:3] == ["cat", "red fox", "in"]


def test_a_path_of_a_list_without_an_image_is_not_left_out_in_silence() -> None:
    put("a.jpg", "empty/a.md")
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr("in/c.jpg", "c")
    Path("list.txt").write_text("a.jpg\nz.zip/in/gone.jpg\nempty\n")
    items = list_images(["@list.txt"])
    assert [item.id for item in items] == ["a.jpg", "z.zip/in/gone.jpg", "empty"]
    for item in items[1:]:
        with pytest.raises(NoImage, match=r"^no image in it$"):
            read_bytes(item.reference)


@pytest.mark.parametrize(("written", "lies"), [(NFC, NFD), (NFD, NFC)])
@pytest.mark.parametrize("zipped", [False, True])
def test_files_in_another_form_of_unicode(written: str, lies: str, zipped: bool) -> None:
    """renpy#2327, node#2165: macOS writes names of files in NFD, and editors write tables in NFC."""
    put(f"d/{lies}/{lies}.jpg", "d/other/b.jpg", "d/other/c.jpg")
    Path("d/other/metadata.csv").write_text(as_csv([(f"../{written}/{written}.jpg", "a cup"), ("b.jpg", "b")]))
    data = "d"
    if zipped:
        data = "z.zip"
        with zipfile.ZipFile("z.zip", "w") as archive:
            for path in Path("d").rglob("*.*"):
                archive.write(path, path.relative_to("d"))
    notices = Notices()
    found = pairs(data, notices)
    assert [pair.item.id for pair in found.pairs] == [f"{data}/{lies}/{lies}.jpg", f"{data}/other/b.jpg"]
    assert [skipped.reason for skipped in found.skipped] == ["not in metadata"]
    assert len(said(notices)) == 1
    Path("d/t.csv").write_text(as_csv([(f"{written}/{written}.jpg", "a cup")]))
    (pair,) = pairs("d/t.csv").pairs
    assert (pair.item.id, read_bytes(pair.item.reference)) == (
        f"d/{written}/{written}.jpg",
        f"d/{lies}/{lies}.jpg".encode(),
    )
    Path("list.txt").write_text(f"d/{written}/{written}.jpg\n")
    (item,) = list_images(["@list.txt"])
    assert (item.id, read_bytes(item.reference).decode()) == (pair.item.id, f"d/{lies}/{lies}.jpg")


@pytest.mark.parametrize(("label", "folder"), [(NFC, NFD), (NFD, NFC)])
def test_labels_in_another_form_of_unicode_than_folders_and_cells(label: str, folder: str) -> None:
    put(f"d/{folder}/a.jpg", "d/dog/b.jpg")
    Path("t.csv").write_text(f"image,label\na.jpg,{folder}\nb.jpg,dog\nc.jpg,{label.upper()}\n")
    classes = classes_from_labels([LabelledClass(label), LabelledClass("dog")], where="labels.txt")
    for data, truth in (("d", [0, 1]), ("t.csv", [0, 1, 0])):
        found = read_labelled(Data(data), Columns())
        assert sorted(truth_of(found, classes, allow_empty=False).tolist()) == sorted(truth)
    found = read_labelled(Data("d"), Columns())
    assert folder in found.names


def test_two_forms_of_one_name_are_one_class() -> None:
    Path("t.csv").write_text(f"image,label\na.jpg,{NFC}\nb.jpg,dog\nc.jpg,{NFD}\n")
    put(f"d/{NFD}/a.jpg", "d/dog/b.jpg", f"e/{NFC}/a.jpg", f"e/{NFD}/b.jpg", "e/dog/b.jpg")
    table, folder = (read_labelled(Data(data), Columns()) for data in ("t.csv", "d"))
    classes = classes_from_data([table, folder], Notices(), keep_names=False)
    assert sorted(map(composed, classes.names)) == [NFC, "dog"]
    names = [classes.names[n] for n in truth_of(table, classes, allow_empty=False)]
    assert names[0] == names[2] != names[1] == "dog"
    assert len(truth_of(folder, classes, allow_empty=False)) == 2
    assert len({pair.label for pair in pairs("e").pairs}) == 2
    one = one_of_each([LabelledClass(NFC), LabelledClass("dog"), LabelledClass(NFD)], Notices(), keep_duplicates=False)
    assert [(labelled.label, labelled.entries) for labelled in one] == [(NFC, 2), ("dog", 1)]


def test_predictions_to_compare_with_may_be_in_another_form() -> None:
    other = {f"d/{NFD}.jpg": NFD, "d/b.jpg": "dog", "d/c.jpg": "cow"}
    images = [f"d/{NFC}.jpg", "d/b.jpg"]
    assert check_other_labels(other, images, labels=[NFC, "dog"], path="p.csv") == []
    with pytest.raises(BadFile, match=r"no row for 1 of 2 images, such as d/a\.jpg"):
        check_other_labels(other, ["d/a.jpg", "d/b.jpg"], labels=["dog"], path="p.csv")


def where(item: ImageItem) -> str:
    return str(item.reference.path)


@pytest.mark.parametrize(
    ("table", "files"),
    [
        ("id,label\n000123,cat\n7,dog\n", ["000123.jpg", "7.png"]),
        ("Id,Label\n123,cat\n7,dog\n", ["images/000123.jpg", "images/000007.jpg"]),
        ("id_code,class\nab12,cat\n7e,dog\n", ["train/ab12.tif", "train/7e.tif"]),
        ("image_id,label\nab12,cat\n7e.jpg,dog\n", ["train_images/ab12.jpg", "train_images/7e.jpg"]),
        ("image,label\na.jpg,cat\nb.jpg,dog\n", ["Images/a.jpg", "Images/b.jpg"]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_ids_without_a_suffix_and_folders_beside_a_table(table: str, files: list[str], zipped: bool) -> None:
    """covid-chestxray-dataset#96, and Kaggle's `train.csv`: a name without suffix, its file in a folder."""
    put(*(f"d/{name}" for name in files), "d/test/0.jpg")
    Path("d/train.csv").write_text(table)
    data = "d/train.csv"
    if zipped:
        data = "z.zip/train.csv"
        with zipfile.ZipFile("z.zip", "w") as archive:
            for path in Path("d").rglob("*.*"):
                archive.write(path, path.relative_to("d"))
    notices = Notices()
    found = list(labelled_of(read_labelled(Data(data, notices), Columns())))
    assert [(read_bytes(one.item.reference).decode(), one.name) for one in found] == [
        (f"d/{name}", label) for name, label in zip(files, ("cat", "dog"), strict=True)
    ]
    assert all(message.startswith(("2 images", "1 image")) for message in said(notices))
    assert [where(item).partition("d/")[2] for item in list_images([data])] == (files if not zipped else ["", ""])


def test_an_id_that_several_files_fit_is_not_guessed() -> None:
    put("images/7.jpg", "images/7.png", "images/8.jpg")
    Path("t.csv").write_text("id,label\n7,cat\n8,dog\n")
    assert [where(item) for item in list_images(["t.csv"])] == ["7", "images/8.jpg"]


def test_ids_that_name_no_file_are_no_image_column() -> None:
    put("7.jpg")
    Path("t.csv").write_text("id,label\n1,cat\n2,dog\n")
    with pytest.raises(BadFile, match=r"^t\.csv: no image column "):
        read_labelled(Data("t.csv"), Columns())


def test_each_fact_is_counted_once() -> None:
    put("images/1.jpg", "images/2.jpg")
    Path("t.csv").write_text("id,caption\n1,a cat\n2,a dog,,\n2\n2,a,b\n")
    notices = Notices()
    pairs("t.csv", notices)
    assert [message.split(",")[0] for message in said(notices)] == [
        "3 images have an id in place of a path",
        "1 row has blank fields beyond the header",
        "1 row has fewer fields than the header",
        "1 row has more fields than the header",
    ]


def test_jpegs_are_found_in_a_folder_of_coco() -> None:
    put("annotations/x", "val2017/000000000042.jpg")
    content = {
        "images": [{"id": 42, "file_name": "000000000042.jpg"}],
        "annotations": [{"image_id": 42, "caption": "a cat"}, {"image_id": 42, "caption": "a brown cat"}],
    }
    Path("annotations/captions_val2017.json").write_text(json.dumps(content))
    (pair,) = pairs("annotations/captions_val2017.json").pairs
    assert (pair.item.id, pair.captions) == ("val2017/000000000042.jpg", ("a cat", "a brown cat"))
