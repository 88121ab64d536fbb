"""Lists, globs and single images in training and evaluation: classes of folders, captions beside the images."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from small_data import jpeg, read, sharded

from clipcli.commands.evaluate.classes import classes_from_data
from clipcli.data.columns import Columns
from clipcli.data.images import list_images
from clipcli.data.kinds import KINDS, absolute, exists, kind_of
from clipcli.data.labelled import labelled_of
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.task import task_of
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound
from clipcli.notices import Notices
from clipcli.records import Skipped


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("z.zip", "w") as archive:
        for place in ("cat/1", "cat/deep/2", "red_fox/1"):
            Path("photos", place).parent.mkdir(parents=True, exist_ok=True)
            Path("photos", f"{place}.jpg").write_bytes(jpeg())
            archive.writestr(f"in/{place}.jpg", jpeg())
        archive.writestr("top.jpg", jpeg())
    Path("list.txt").write_text("photos/red_fox/1.jpg\nphotos/cat/1.jpg\nphotos/cat/gone.jpg\n")


def pairs(data: str) -> PairsRead:
    return read_pairs(Data(data), options=PairOptions(("a {}",)))


def captions(found: PairsRead) -> dict[str, tuple[tuple[str, ...], str | None]]:
    return {pair.item.id: (pair.captions, pair.label) for pair in found.pairs}


FOX, CAT, DEEP = (("a red fox",), "red_fox"), (("a cat",), "cat"), (("a deep",), "deep")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@list.txt", {"photos/red_fox/1.jpg": FOX, "photos/cat/1.jpg": CAT, "photos/cat/gone.jpg": CAT}),
        ("photos/*/*.jpg", {"photos/cat/1.jpg": CAT, "photos/red_fox/1.jpg": FOX}),
        ("photos/*", {"photos/cat/1.jpg": CAT, "photos/cat/deep/2.jpg": DEEP, "photos/red_fox/1.jpg": FOX}),
        ("photos/**/2.jpg", {"photos/cat/deep/2.jpg": DEEP}),
        ("photos/cat/1.jpg", {"photos/cat/1.jpg": CAT}),
        ("z.zip/in/cat/1.jpg", {"z.zip/in/cat/1.jpg": CAT}),
        ("photos", {"photos/cat/1.jpg": CAT, "photos/cat/deep/2.jpg": CAT, "photos/red_fox/1.jpg": FOX}),
    ],
)
def test_an_image_is_of_the_class_of_its_folder(text: str, expected: dict[str, tuple[tuple[str, ...], str]]) -> None:
    found = pairs(text)
    assert captions(found) == expected
    labelled = {one.item.id: one.name for one in labelled_of(read(text))}
    assert labelled == {image: label for image, (_, label) in expected.items()}
    assert [item.id for item in list_images([text])] == list(expected)


def test_the_working_folder_may_be_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("photos/cat")
    for text in ("1.jpg", "./1.jpg", "*.jpg", "deep/../1.jpg"):
        assert [(one.name, one.key) for one in labelled_of(read(text))] == [("cat", "1")]


def test_images_of_zips_that_a_list_names() -> None:
    Path("list.txt").write_text("z.zip\nphotos/cat\n")
    found = read("@list.txt")
    assert [(one.item.id, one.name) for one in labelled_of(found)] == [
        *(("z.zip/in/cat/1.jpg", "cat"), ("z.zip/in/cat/deep/2.jpg", "deep"), ("z.zip/in/red_fox/1.jpg", "red_fox")),
        *(("photos/cat/1.jpg", "cat"), ("photos/cat/deep/2.jpg", "deep")),
    ]
    assert [(one.item.id, one.reason) for one in found.entries if isinstance(one, Skipped)] == [
        ("z.zip/top.jpg", "not in a class folder")
    ]
    assert [item.id for item in list_images(["@list.txt"])][3:] == [
        "z.zip/top.jpg",
        *("photos/cat/1.jpg", "photos/cat/deep/2.jpg"),
    ]


def test_captions_are_those_beside_the_images() -> None:
    for place in ("photos/cat/1.TXT", "photos/cat/deep/2.json", "photos/red_fox/1.caption", "photos/red_fox/other.txt"):
        Path(place).write_text('{"caption": "in json"}' if place.endswith("json") else f"of {place}")
    expected = {"photos/cat/1.jpg": ("of photos/cat/1.TXT",), "photos/red_fox/1.jpg": ("of photos/red_fox/1.caption",)}
    found = pairs("photos/*/*.*")
    assert {pair.item.id: pair.captions for pair in found.pairs} == expected
    assert found.skipped == []
    assert {pair.captions for pair in pairs("photos/cat/deep/2.jpg").pairs} == {("in json",)}
    listed = pairs("@list.txt")
    assert {pair.item.id: pair.captions for pair in listed.pairs} == expected
    assert [(one.item.id, one.reason) for one in listed.skipped] == [("photos/cat/gone.jpg", "no caption")]


def test_captions_beside_an_image_of_a_zip() -> None:
    with zipfile.ZipFile("c.zip", "w") as archive:
        for name, text in {"v/1.jpg": "", "v/1.txt": "one", "v/2.jpg": "", "v/2.txt": "two"}.items():
            archive.writestr(name, text)
    Path("list.txt").write_text("c.zip/v/2.jpg\nc.zip\n")
    assert {pair.captions for pair in pairs("c.zip/v/1.jpg").pairs} == {("one",)}
    assert [pair.captions for pair in pairs("@list.txt").pairs] == [("two",), ("one",), ("two",)]


def test_what_lists_and_globs_are_for() -> None:
    def task(text: str) -> str:
        return task_of(Data(text), Columns(), labelled=False)

    assert task("photos/*/*.jpg") == task("@list.txt") == task("photos/cat/1.jpg") == "classification"
    Path("photos/cat/1.txt").write_text("a cat")
    assert task("photos/**") == "classification"
    Path("photos/red_fox/1.txt").write_text("a fox")
    assert task("photos/**") == task("photos/cat/1.jpg") == "retrieval"


def test_a_list_of_shards() -> None:
    members = {f"{n}.{suffix}": text for n in range(2) for suffix, text in (("jpg", jpeg()), ("txt", b"t%d" % n))}
    sharded(Path("s.tar"), {**members, "0.cls": b"cat", "1.cls": b"dog"})
    Path("list.txt").write_text("s.tar\n")
    assert [pair.captions for pair in pairs("@list.txt").pairs] == [("t0",), ("t1",)]
    found = read("@list.txt")
    assert (found.noun, [(one.key, one.name) for one in labelled_of(found)]) == ("value", [("0", "cat"), ("1", "dog")])


def test_keys_of_a_list_begin_below_the_folder_that_all_share() -> None:
    keys = ["cat/1", "cat/deep/2", "red_fox/1"]
    assert [one.key for one in labelled_of(read("photos/**"))] == keys
    assert [one.key for one in labelled_of(read("photos/*"))] == keys
    for split in ("train", "val"):
        Path("photos", "cat", split, "x").mkdir(parents=True)
        Path("photos", "cat", split, "x", "1.jpg").write_bytes(jpeg())
        Path("photos", "cat", split, "y").mkdir(parents=True)
        Path("photos", "cat", split, "y", "1.jpg").write_bytes(jpeg())
    # Folders in folders are no mistake where the class is the folder that an image lies in.
    assert classes_from_data([read("photos/cat/*/*/*.jpg")], Notices(), keep_names=False).names == ("x", "y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-", "'-' reads a list from standard input, and there is none here; give paths"),
        ("@none.txt", "cannot read list none.txt"),
        ("none/*.jpg", r"nothing matches none/\*.jpg"),
        ("none.jpg", "no such data: none.jpg; check the path"),
    ],
)
def test_what_is_not_there_is_an_error(text: str, message: str) -> None:
    with pytest.raises(InputNotFound, match=f"^{message}"):
        pairs(text)
    with pytest.raises(InputNotFound, match=f"^{message}"):
        read(text)


def test_every_kind_is_known_by_how_it_is_written() -> None:
    sharded(Path("s.tar"), {"1.jpg": jpeg()})
    Path("t.csv").write_text("file\nphotos/cat/1.jpg\n")
    with zipfile.ZipFile("z.zip", "a") as archive:
        archive.writestr("t.tsv", "file\ntop.jpg\n")
    Path("shards").mkdir()
    sharded(Path("shards/s.tar"), {"1.jpg": jpeg()})
    Path("*").touch()
    Path("@x").touch()
    texts = {
        "stdin": ["-"],
        "address": ["s3://b/a.jpg", "https://h/t.csv"],
        "table": ["t.csv", "z.zip/t.tsv"],
        "shards": ["s.tar", "s-{0..1}.tar", "*.tar", "shards", "none.tar"],
        "zip": ["z.zip", "z.zip/in", "z.zip/top.jpg", "z.zip/none.csv"],
        "folder": ["photos"],
        "file": ["photos/cat/1.jpg", "list.txt", "*", "@x"],
        "list": ["@list.txt", "@none"],
        "glob": ["photos/*", "p?"],
    }
    assert texts.keys() == KINDS.keys()
    assert {text: kind_of(Data(text)) for kind in texts for text in texts[kind]} == {
        text: kind for kind in texts for text in texts[kind]
    }
    assert kind_of(Data("none.csv")) is kind_of(Data("")) is None


def test_what_lies_there_under_a_whole_text() -> None:
    Path("a=1").mkdir()
    Path("a=1/s-0.tar").touch()
    for text in ("a=1", "a=1/*.tar", "a=1/s-{0..1}.tar", "z.zip/in", "@list.txt"):
        assert exists(text)
    for text in ("b=1", "b=*", "b={0..1}.tar", "@none.txt"):
        assert not exists(text)


def test_images_of_stdin_are_listed_with_their_order() -> None:
    stdin = io.StringIO("z.zip/top.jpg\nnone.jpg\nphotos/cat\n")
    assert [item.id for item in list_images(["-"], stdin=stdin)] == [
        *("z.zip/top.jpg", "none.jpg"),
        *("photos/cat/1.jpg", "photos/cat/deep/2.jpg"),
    ]


def test_data_is_written_so_that_it_is_found_from_any_folder(tmp_path: Path) -> None:
    Path("@x").touch()
    for text, expected in {
        "photos": f"{tmp_path}/photos",
        "@list.txt": f"@{tmp_path}/list.txt",
        "@x": f"{tmp_path}/@x",
        "photos/*/*.jpg": f"{tmp_path}/photos/*/*.jpg",
        "-": "-",
    }.items():
        assert absolute(text) == expected
        assert absolute(expected) == expected
