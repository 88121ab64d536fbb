"""Captions and labels in the forms of public data sets: COCO, Flickr8k, Flickr30k, Kaggle, VOC, YOLO, ImageNet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_data import jpeg

import clipcli
from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import prompts_of
from clipcli.commands.evaluate.classes import classes_from_data, classes_from_labels, truth_of
from clipcli.data.columns import Columns
from clipcli.data.images import list_images
from clipcli.data.kinds import kind_of
from clipcli.data.labelled import labelled_of, read_labelled
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.task import task_of
from clipcli.data.tree import Data
from clipcli.errors import BadFile, InputNotFound
from clipcli.notices import Notices


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(jpeg(len(name)) if name.endswith(".jpg") else b"")


def pairs(text: str, *, notices: Notices | None = None, caption: str | None = None) -> PairsRead:
    options = PairOptions(("a {}",), caption_column=caption)
    return read_pairs(Data(text, notices or Notices()), options=options)


def captions(found: PairsRead) -> dict[str, tuple[str, ...]]:
    return {pair.item.id: pair.captions for pair in found.pairs}


def task(text: str) -> str:
    return task_of(Data(text), Columns(), labelled=False)


FLICKR = {"a.jpg": ("A dog runs .", 'A "big" dog .'), "b.jpg": ("Two men , one hat .",)}
FLICKR8K = 'a.jpg#0\tA dog runs .\na.jpg#1\tA "big" dog .\nb.jpg#0\tTwo men , one hat .\n'
KAGGLE_8K = 'image,caption\na.jpg,A dog runs .\na.jpg,"A ""big"" dog ."\nb.jpg,"Two men , one hat ."\n'
FLICKR30K = (
    'image_name| comment_number| comment\na.jpg| 0| A dog runs .\na.jpg| 1| A "big" dog .\n'
    "b.jpg| 0| Two men , one hat .\n"
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Flickr8k.token.txt", FLICKR8K),
        ("Flickr8k.token.txt", FLICKR8K.replace("\n", "\r\n")),
        ("results_20130124.token", FLICKR8K),
        ("pairs.txt", FLICKR8K.replace("#0", "").replace("#1", "")),
        ("captions.txt", KAGGLE_8K),
        ("results.csv", FLICKR30K),
        ("captions.txt", FLICKR30K),
    ],
)
def test_the_captions_of_flickr(name: str, content: str) -> None:
    """docarray#1044: caption files of Flickr8k and Flickr30k, as they are published and on Kaggle."""
    Path(name).write_bytes(content.encode())
    assert captions(pairs(name)) == FLICKR
    assert task(name) == "retrieval"
    put("Images/a.jpg", "Images/b.jpg")
    assert captions(pairs(name)) == {f"Images/{image}": texts for image, texts in FLICKR.items()}
    assert [item.id for item in list_images([name])] == ["Images/a.jpg", "Images/a.jpg", "Images/b.jpg"]


def test_a_row_of_flickr30k_that_lacks_a_separator() -> None:
    """The published results.csv has one such row, `2199200615.jpg| 4   A dog runs across the grass .`"""
    Path("results.csv").write_text(FLICKR30K + "b.jpg| 4   A dog runs across the grass .\n")
    notices = Notices()
    found = pairs("results.csv", notices=notices)
    assert [skipped.reason for skipped in found.skipped] == ["no caption"]
    (event,) = notices.events()
    assert event.message.startswith("1 row has fewer fields than the header, results.csv line 5: ")


def test_a_folder_with_its_captions_in_it() -> None:
    """Flickr8k as Kaggle packs it: `captions.txt` beside the folder `Images`."""
    put("d/Images/a.jpg", "d/Images/b.jpg")
    Path("d/captions.txt").write_text(KAGGLE_8K)
    expected = {f"d/Images/{image}": texts for image, texts in FLICKR.items()}
    assert captions(pairs("d")) == expected
    assert task("d") == "retrieval"
    Path("d/captions.txt").rename("d/captions.csv")
    assert captions(pairs("d")) == expected


def test_a_text_that_is_no_table_stays_a_text() -> None:
    for content in ("a dog, and a cat\n", "a.jpg\nb.jpg\n", "a caption with\ta tab\n", ""):
        Path("t.txt").write_text(content)
        assert kind_of(Data("t.txt")) == "file"


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}, {"id": 3, "file_name": "c.jpg"}],
    "annotations": [
        {"image_id": 2, "caption": "a cat"},
        {"image_id": 1, "caption": "a dog"},
        {"image_id": 2, "caption": "a brown cat"},
        {"image_id": 9, "caption": "a cow"},
    ],
}


def test_captions_of_coco() -> None:
    Path("captions.json").write_text(json.dumps(COCO))
    notices = Notices()
    found = pairs("captions.json", notices=notices)
    assert captions(found) == {"a.jpg": ("a dog",), "b.jpg": ("a cat", "a brown cat")}
    assert [(one.item.id, one.reason) for one in found.skipped] == [("c.jpg", "no caption")]
    assert [event.message for event in notices.events()] == [
        "1 annotation is about an image that the file does not list, annotation 4 of captions.json: it was left out"
    ]
    assert task("captions.json") == "retrieval"


def test_classes_of_coco_without_boxes() -> None:
    """iNaturalist and other data with a class for each whole image in COCO's form."""
    content = COCO | {
        "annotations": [{"image_id": n, "category_id": n % 2} for n in (1, 2)],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    }
    Path("t.json").write_text(json.dumps(content))
    found = read_labelled(Data("t.json"), Columns())
    assert [(one.item.id, one.name) for one in labelled_of(found)] == [("a.jpg", "dog"), ("b.jpg", "cat")]
    assert task("t.json") == "classification"


def test_a_list_of_objects() -> None:
    Path("t.json").write_text(json.dumps([{"image": "a.jpg", "caption": ["one", "two"]}, {"image": 7, "caption": "x"}]))
    assert captions(pairs("t.json")) == {"a.jpg": ("one", "two"), "7": ("x",)}


BOXES = COCO | {"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            json.dumps(BOXES),
            "t.json: boxes or outlines of objects in COCO's form, and clipcli reads captions or labels",
        ),
        (json.dumps(COCO | {"annotations": []}), "t.json: images of COCO without captions; give the captions_"),
        (json.dumps({"a": 1}), "t.json: no table; expected a list of objects"),
        ("[]", "t.json: an empty table; expected a list"),
        (
            '{"a": 1}\n{"a": 2}\n',
            "t.json line 2: not JSON: Extra data; a table with one JSON object a line ends in .jsonl",
        ),
    ],
)
def test_json_that_is_no_table_says_what_is(content: str, message: str) -> None:
    Path("t.json").write_text(content)
    for read in (lambda: pairs("t.json"), lambda: read_labelled(Data("t.json"), Columns())):
        with pytest.raises(BadFile) as caught:
            read()
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image,caption_1,caption_2", "a.jpg,one,two"),
        ("Image,Caption 1,Caption 2", "a.jpg,one,two"),
        ("FILE_NAME,caption0,caption1,label", "a.jpg,one,two,dog"),
        ("file name,caption,caption.1,score_2", "a.jpg,one,two,7"),
        ("image_name,Comment", 'a.jpg,"[""one"", ""two""]"'),
        ("image,caption", "a.jpg,\"['one', 'two']\""),
    ],
)
def test_several_captions_in_a_row(header: str, row: str) -> None:
    Path("t.csv").write_text(f"{header}\n{row}\n")
    assert captions(pairs("t.csv")) == {"a.jpg": ("one", "two")}


def test_a_blank_one_of_several_captions_is_left_out() -> None:
    Path("t.csv").write_text("image,caption_1,caption_2\na.jpg,,two\nb.jpg,one,\nc.jpg,,\n")
    found = pairs("t.csv")
    assert captions(found) == {"a.jpg": ("two",), "b.jpg": ("one",)}
    assert [one.reason for one in found.skipped] == ["no caption"]
    assert captions(pairs("t.csv", caption="caption_2")) == {"a.jpg": ("two",)}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("[Music]", ("[Music]",)),
        ("[1] a dog", ("[1] a dog",)),
        ("['a' 'b']", None),
        ('["a", b"]', None),
        ("[1, 2]", None),
    ],
)
def test_a_list_that_is_none_is_text_and_a_broken_one_is_skipped(cell: str, expected: tuple[str, ...] | None) -> None:
    Path("t.tsv").write_text(f"image\tcaption\na.jpg\t{cell}\nb.jpg\tb\n")
    assert captions(pairs("t.tsv")).get("a.jpg") == expected


def test_boxes_of_yolo_are_no_captions() -> None:
    put("d/a.jpg", "d/b.jpg")
    Path("d/a.txt").write_text("0 0.51 0.43 0.2 0.3\n3 0.1 0.2 0.05 0.07\n")
    Path("d/b.txt").write_text("3 dogs and 2 cats\n")
    found = pairs("d")
    assert captions(found) == {"d/b.jpg": ("3 dogs and 2 cats",)}
    assert [one.reason for one in found.skipped] == ["caption is a row of numbers, as of a box"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["Annotations/a.xml", "JPEGImages/a.jpg", "ImageSets/Main/train.txt"],
            "boxes of objects in Pascal VOC's form",
        ),
        (
            ["annotations/captions_val2017.json", "val2017/a.jpg", "train2017/b.jpg"],
            "COCO's folders, and no folder per",
        ),
        (["images/train/a.jpg", "labels/train/a.txt"], "boxes of objects in YOLO's form"),
    ],
)
def test_folders_of_other_tasks_say_what_can_be_read(files: list[str], message: str) -> None:
    put(*(f"d/{name}" for name in files))
    for read in (lambda: pairs("d"), lambda: read_labelled(Data("d"), Columns())):
        with pytest.raises(BadFile, match=rf"^d: {message}"):
            read()


def test_classes_may_be_called_images_and_labels() -> None:
    put("d/images/a.jpg", "d/labels/b.jpg", "e/train/a.jpg", "e/boat/b.jpg")
    for data in ("d", "e"):
        assert len(pairs(data).pairs) == len(list(labelled_of(read_labelled(Data(data), Columns())))) == 2


IDS = ("n01440764", "n02102040")


def test_ids_of_imagenet_are_no_names() -> None:
    """imagenette#46: folders named n01440764, which a model would read as text."""
    put(*(f"d/{name}/a.jpg" for name in IDS))
    message = r"d: its classes are ids of ImageNet, such as 'n01440764', 'n02102040', .*; give --labels FILE, a \.csv"
    with pytest.raises(BadFile, match=message):
        pairs("d")
    found = read_labelled(Data("d"), Columns())
    with pytest.raises(BadFile, match=message):
        classes_from_data([found], Notices(), keep_names=False)
    classes = (LabelledClass("springer", (IDS[1],)), LabelledClass("tench", (IDS[0], "Tinca")))
    assert truth_of(found, classes_from_labels(classes, where="l.csv"), allow_empty=False).tolist() == [1, 0]
    assert prompts_of(classes[1], ["a {}"]) == ("a tench", "a Tinca")
    read = read_pairs(Data("d"), options=PairOptions(("a {}",), classes))
    assert [pair.label for pair in read.pairs] == ["tench", "springer"]


def test_nothing_is_counted_twice_by_evaluate(model: str) -> None:
    put("images/1.jpg", "images/2.jpg")
    Path("t.csv").write_text(",image,label\n0,1.jpg,cat\n1,2.jpg,dog\n2,1.jpg\n")
    with pytest.warns(clipcli.errors.ClipcliWarning) as caught:
        clipcli.evaluate("t.csv", model=model, device="cpu", precision="fp32")
    assert [str(warning.message) for warning in caught] == [
        "1 row has fewer fields than the header, t.csv line 4: the cells that it lacks are blank;"
        " is a quote or a separator missing?"
    ]


def test_no_captions_says_so() -> None:
    Path("t.txt").write_text("a dog\n")
    with pytest.raises(InputNotFound, match=r"no pairs found in t\.txt; looked for a \.csv, \.tsv, \.json"):
        pairs("t.txt")
