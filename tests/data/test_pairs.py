"""Folders and zips of training data become pairs: captions beside images, folders per class; and weights of data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_data import captioned_colours, colours_in_threads

from clipcli.classes.labels import LabelledClass
from clipcli.data.pairs import CAPTION_KINDS, PairOptions, PairsRead, read_pairs
from clipcli.data.reference import read as read_bytes
from clipcli.data.tree import Data
from clipcli.data.weights import split_weight
from clipcli.errors import BadFile, InputNotFound, UsageError

Put = Callable[[dict[str, str | bytes]], str]
OPTIONS = PairOptions(templates=("a photo of a {}.", "the {}"))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["data", "data.zip", "data.zip/train"])
def put(request: pytest.FixtureRequest) -> Put:
    """Files written below a DATA, which is returned: a folder, a zip, and a folder inside a zip."""
    data: str = request.param

    def write(files: dict[str, str | bytes]) -> str:
        contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        root, _, inside = data.partition("/")
        if root == "data":
            write_folder(data, contents)
        else:
            with zipfile.ZipFile(root, "w") as archive:
                for name, content in contents.items():
                    archive.writestr(os.path.join(inside, name), content)
                archive.writestr("trainer/x.jpg" if inside else "__MACOSX/._x.jpg", "")
        return data

    return write


def write_folder(root: str, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(data: str, *, classes: tuple[LabelledClass, ...] | None = None) -> PairsRead:
    return read_pairs(Data(data), options=PairOptions(templates=OPTIONS.templates, classes=classes))


def captions(data: str, found: PairsRead) -> dict[str, tuple[str, ...]]:
    """The captions by the images' names below the DATA, in order."""
    return {pair.item.id.removeprefix(f"{data}/"): pair.captions for pair in found.pairs}


def reasons(data: str, found: PairsRead) -> dict[str, str]:
    return {skipped.item.id.removeprefix(f"{data}/"): skipped.reason for skipped in found.skipped}


def test_captions_lie_beside_their_images(put: Put) -> None:
    data = put(
        {
            "b/z.PNG": b"z",
            "b/z.caption": "\ufeffa zebra\r\n\r\n  two zebras \rthree\u2028zebras",
            "b.v1.2.jpg": b"b",
            "b.v1.2.txt": "a boat\n",
            "b.v1.txt": "of no image",
            "a.jpg": b"a",
            "a.JSON": '{"width": 3, "caption": " an ant ", "text": "not this"}',
            "README.txt": "of no image",
        }
    )
    found = read(data)
    assert captions(data, found) == {
        "a.jpg": ("an ant",),
        "b/z.PNG": ("a zebra", "two zebras", "three\u2028zebras"),
        "b.v1.2.jpg": ("a boat",),
    }
    assert list(captions(data, found)) == ["a.jpg", "b/z.PNG", "b.v1.2.jpg"]
    assert [read_bytes(pair.item.reference) for pair in found.pairs] == [b"a", b"z", b"b"]
    assert {pair.label for pair in found.pairs} == {None}
    assert found.skipped == []


@pytest.mark.parametrize(
    ("suffixes", "first"), [("txt caption json", "txt"), ("json caption", "caption"), ("json", "json")]
)
def test_of_several_caption_files_one_is_taken(put: Put, suffixes: str, first: str) -> None:
    contents = {"txt": "txt", "caption": "caption", "json": '{"text": "json"}'}
    data = put({"a.jpg": "", **{f"a.{suffix}": contents[suffix] for suffix in suffixes.split()}})
    assert captions(data, read(data)) == {"a.jpg": (first,)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"caption": "one"}', ("one",)),
        ('{"captions": ["one", "", " two "]}', ("one", "two")),
        ('{"text": "one"}', ("one",)),
        ('{"texts": ["one", null]}', ("one",)),
        ('{"description": "one"}', ("one",)),
        ('{"text": "two", "caption": "", "captions": []}', ("two",)),
    ],
)
def test_json_holds_captions_under_one_of_several_keys(put: Put, text: str, expected: tuple[str, ...]) -> None:
    data = put({"a.jpg": "", "a.json": text})
    assert captions(data, read(data)) == {"a.jpg": expected}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "no caption"),
        ("a.txt", b" \n\t\n", "no caption"),
        ("b.txt", b"of no image", "no caption"),
        ("q/a.txt", b"of another folder", "no caption"),
        ("a.txt", b"caf\xe9", "caption is not UTF-8"),
        ("a.txt", "cat".encode("utf-16-le"), "caption is not UTF-8"),
        ("a.json", b'{"text": "half a character: \\ud800"}', "caption is not UTF-8"),
        ("a.json", b'{"text": "cat"', "caption file is not JSON"),
        ("a.json", b"[" * 100_000, "caption file is not JSON"),
        ("a.json", b'{"title": "cat"}', "no caption"),
        ("a.json", b'["cat"]', "no caption"),
        ("a.json", b"", "no caption"),
        ("a.json", b'{"text": 7}', "caption is not text"),
        ("a.json", b'{"text": ["cat", 7]}', "caption is not text"),
    ],
)
def test_an_image_without_a_good_caption_is_skipped(put: Put, name: str, content: bytes, reason: str) -> None:
    data = put({"z.jpg": b"", "z.txt": b"good", "a.jpg": b"a", name: content})
    found = read(data)
    assert captions(data, found) == {"z.jpg": ("good",)}
    assert reasons(data, found) == {"a.jpg": reason}
    assert read_bytes(found.skipped[0].item.reference) == b"a"


def test_a_caption_that_cannot_be_read_is_a_reason() -> None:
    write_folder("data", {"z.jpg": b"", "z.txt": b"good", "a.jpg": b""})
    os.symlink("missing", "data/a.txt")
    assert reasons("data", read("data")) == {
        "a.jpg": "cannot read its .txt: [Errno 2] No such file or directory: 'data/a.txt'"
    }


def test_names_that_are_hidden_or_not_utf8() -> None:
    odd = os.fsdecode(b"\xff")
    write_folder(
        "data",
        {f"{odd}.jpg": b"odd", f"{odd}.txt": b"odd", ".h.jpg": b"", ".h.txt": b"h", ".t/a.jpg": b"", " .jpg": b""},
    )
    found = read("data")
    assert [(pair.item.id, read_bytes(pair.item.reference), pair.captions) for pair in found.pairs] == [
        (f"data/{odd}.jpg", b"odd", ("odd",))
    ]
    assert reasons("data", found) == {" .jpg": "no caption"}


def test_a_folder_per_class_gives_its_prompts_and_its_name(put: Put) -> None:
    data = put(
        {"tabby_cat/b.jpg": b"b", "tabby_cat/deep/down/a.png": b"a", "Dog/1.jpg": b"1", "_/x.jpg": b"", "top.jpg": b""}
    )
    found = read(data)
    assert captions(data, found) == {
        "Dog/1.jpg": ("a photo of a Dog.", "the Dog"),
        "_/x.jpg": ("a photo of a _.", "the _"),
        "tabby_cat/b.jpg": ("a photo of a tabby cat.", "the tabby cat"),
        "tabby_cat/deep/down/a.png": ("a photo of a tabby cat.", "the tabby cat"),
    }
    assert [pair.label for pair in found.pairs] == ["Dog", "_", "tabby_cat", "tabby_cat"]
    assert [read_bytes(pair.item.reference) for pair in found.pairs] == [b"1", b"", b"b", b"a"]
    assert reasons(data, found) == {"top.jpg": "not in a class folder"}
    assert found.pairs[2].captions is found.pairs[3].captions


def test_folders_are_matched_to_the_classes_given(put: Put) -> None:
    classes = (
        LabelledClass("hot dog", ("frankfurter",), ("A sausage in a bun.",)),
        LabelledClass("FRANKFURTER"),
        LabelledClass("crane", ("bird",)),
        LabelledClass("bird"),
        LabelledClass("never seen"),
    )
    names = ["Hot_Dog", "frankfurter", "FRANKFURTER", "crane", "bird"]
    data = put({f"{name}/1.jpg": "" for name in names})
    pairs = read(data, classes=classes).pairs
    found = {pair.item.id.split("/")[-2]: pair for pair in pairs}
    hot_dog = (
        *("a photo of a hot dog.", "the hot dog", "a photo of a frankfurter.", "the frankfurter"),
        "A sausage in a bun.",
    )
    assert {name: (pair.label, pair.captions) for name, pair in found.items()} == {
        "Hot_Dog": ("hot dog", hot_dog),
        "frankfurter": ("hot dog", hot_dog),
        "FRANKFURTER": ("FRANKFURTER", ("a photo of a FRANKFURTER.", "the FRANKFURTER")),
        "crane": ("crane", ("a photo of a crane.", "the crane", "a photo of a bird.", "the bird")),
        "bird": ("bird", ("a photo of a bird.", "the bird")),
    }
    assert found["Hot_Dog"].captions is found["frankfurter"].captions


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            ["cat", "dgo"],
            "no label fits folder 'dgo'; rename it to labels, as in 'cat', 'dog', or add it to the labels",
        ),
        (["x1", "x2"], "no label fits folders 'x1', 'x2'; rename them to labels, as in 'cat', 'dog', or add them to"),
        ([f"x{n}" for n in range(9)], "'x6' and 2 more; rename them"),
    ],
)
def test_a_folder_of_no_class_is_an_error(put: Put, folders: list[str], message: str) -> None:
    data = put({f"{name}/1.jpg": "" for name in folders})
    with pytest.raises(BadFile, match=re.escape(message)) as caught:
        read(data, classes=(LabelledClass("cat"), LabelledClass("dog")))
    assert str(caught.value).startswith(f"{data}: ")


def test_a_class_folder_whose_name_is_not_utf8_is_skipped() -> None:
    odd = os.fsdecode(b"caf\xe9")
    write_folder("data", {f"{odd}/a.jpg": b"", "cat/a.jpg": b""})
    found = read("data")
    assert [pair.label for pair in found.pairs] == ["cat"]
    assert reasons("data", found) == {f"{odd}/a.jpg": "folder name is not UTF-8"}


def test_captions_beside_images_come_before_folders_per_class(put: Put) -> None:
    data = put({"cat/a.jpg": "", "cat/a.txt": "a cat", "dog/b.jpg": ""})
    found = read(data)
    assert captions(data, found) == {"cat/a.jpg": ("a cat",)}
    assert reasons(data, found) == {"dog/b.jpg": "no caption"}


def test_images_of_a_zip_are_read_by_several_threads() -> None:
    colours = [(n, 255 - n, 7) for n in range(100)]
    with zipfile.ZipFile("D.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in captioned_colours(colours).items():
            archive.writestr(name, data)
    pairs = read("D.ZIP").pairs
    assert colours_in_threads([pair.item for pair in pairs]) == colours
    assert [pair.captions for pair in pairs] == [(str(colour),) for colour in colours]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("missing", "no such data: missing; check the path"),
        ("missing.csv", "no such data: missing.csv; check the path"),
        ("missing.zip/train", "no such data: missing.zip/train; check the path"),
        ("", "no such data: ''; check the path"),
        ("flat", "no pairs found in flat, as its images have no captions; put a .txt beside each image, or"),
        (
            "empty",
            "no pairs found in empty; looked for a .csv, .tsv, .json, .jsonl or .parquet of images and captions; WebD",
        ),
        ("d.zip/missing", "no pairs found in d.zip/missing; looked for a .csv"),
        ("notes.txt", "no pairs found in notes.txt; looked for a .csv"),
        ("bad.zip", "cannot read bad.zip: File is not a zip file; check the file"),
        ("blank", "no pairs found in blank: 2 skipped, the first, blank/a.jpg, for 'no caption'; give each image"),
    ],
)
def test_data_without_pairs_is_an_error(data: str, message: str) -> None:
    write_folder("flat", {"a.jpg": b"", "b.jpg": b""})
    write_folder("blank", {"a.jpg": b"", "a.txt": b" ", "b.jpg": b""})
    write_folder("empty", {"notes.txt": b"", ".cat/a.jpg": b"", "doc/more.txt": b""})
    write_folder(".", {"notes.txt": b"", "bad.zip": b"no"})
    with zipfile.ZipFile("d.zip", "w") as archive:
        archive.writestr("cat/a.jpg", "")
    with pytest.raises(InputNotFound, match=re.escape(message)):
        read(data)


def test_every_kind_is_named_where_none_fits() -> None:
    Path("empty").mkdir()
    with pytest.raises(InputNotFound) as caught:
        read("empty")
    assert all(source.written in str(caught.value) for source in CAPTION_KINDS.values())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos", ("photos", None)),
        ("photos=0.3", ("photos", 0.3)),
        ("photos=2", ("photos", 2.0)),
        ("photos=1e-3", ("photos", 0.001)),
        ("d.zip/train=4", ("d.zip/train", 4.0)),
        ("s-{0..3}.tar=.5", ("s-{0..3}.tar", 0.5)),
        ("a=b=0.5", ("a=b", 0.5)),
        ("there=0.3", ("there=0.3", None)),
        ("there=0.3=2", ("there=0.3", 2.0)),
        ("lang=en/s-{0..3}.tar", ("lang=en/s-{0..3}.tar", None)),
    ],
)
def test_a_weight_follows_the_path(text: str, expected: tuple[str, float | None]) -> None:
    Path("there=0.3").mkdir()
    assert split_weight(text) == expected


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "-inf", "x", "", "0,5"])
def test_a_weight_is_a_positive_number(weight: str) -> None:
    Path("photos").mkdir()
    message = f"the weight '{weight}' of photos is not a positive number; write it as in photos=0.5"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        split_weight(f"photos={weight}")


def test_a_weight_needs_a_path() -> None:
    with pytest.raises(UsageError, match=r"^'=0\.5' is a weight without a path"):
        split_weight("=0.5")


def test_the_room_loads_nothing_heavy() -> None:
    heavy = ("torch", "open_clip", "pandas", "pyarrow", "numpy", "yaml", "PIL")
    code = f"import sys, clipcli.data.pairs; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.shared
def test_real_captions_are_counted(shared: Callable[[str], Path]) -> None:
    found = read(f"{shared('data/flickr8k.zip')}/train")
    assert (len(found.pairs), found.skipped) == (6000, [])
    assert {len(pair.captions) for pair in found.pairs} == {5}


@pytest.mark.shared
def test_real_classes_are_counted(shared: Callable[[str], Path]) -> None:
    found = read(f"{shared('data/clothing.zip')}/train")
    assert (len(found.pairs), found.skipped) == (3068, [])
    assert len({pair.label for pair in found.pairs}) == len({id(pair.captions) for pair in found.pairs}) == 10
