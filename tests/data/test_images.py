"""Inputs become one list of images: which ones, in which order, under which names."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from clipcli.data.images import list_images
from clipcli.data.reference import read as read_bytes
from clipcli.errors import InputNotFound


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _make(*names: str) -> None:
    """Files that hold their own names."""
    for name in names:
        if os.path.dirname(name):
            os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(os.fsencode(name))


def _zip(path: str, names: Iterable[str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)


def _ids(*inputs: str, stdin: str | None = None) -> list[str]:
    return [item.id for item in list_images(inputs, stdin=None if stdin is None else io.StringIO(stdin))]


def test_a_folder_is_read_in_code_point_order_of_the_parts() -> None:
    names = ["p/10.jpg", "p/2.jpg", "p/A.jpg", "p/B/z.jpg", "p/a/b.jpg", "p/a.jpg", "p/aa.jpg", "p/b.jpg", "p/é.jpg"]
    _make(*reversed(names))
    assert _ids("p") == names


def test_names_that_differ_only_in_case_are_both_there() -> None:
    _make("p/x.jpg", "p/X.jpg", "p/x.JPG")
    assert _ids("p") == ["p/X.jpg", "p/x.JPG", "p/x.jpg"]


def test_inputs_keep_their_order_and_may_come_twice() -> None:
    _make("b.jpg", "a.jpg", "p/c.jpg")
    assert _ids("b.jpg", "p", "a.jpg", "b.jpg") == ["b.jpg", "p/c.jpg", "a.jpg", "b.jpg"]


def test_items_read_the_file_they_are_named_after() -> None:
    _make("p/a.jpg", "p/q/b.png", "c.jpg")
    for item in list_images(["p", "c.jpg"]):
        assert read_bytes(item.reference) == item.id.encode()


def test_hidden_files_and_folders_of_a_folder_are_skipped() -> None:
    _make("p/a.jpg", "p/.b.jpg", "p/.thumbs/c.jpg", "p/__MACOSX/d.jpg", "p/._a.jpg")
    assert _ids("p") == ["p/a.jpg"]


def test_other_files_of_a_folder_are_left_out() -> None:
    _make("p/a.jpg", "p/notes.txt", "p/jpg", "p/a.jpg.part", "p/clip.mp4")
    assert _ids("p") == ["p/a.jpg"]


@pytest.mark.parametrize("suffix", ["JPG", "Jpeg", "PNG", "webp", "GIF", "bmp", "TIF", "tiff", "avif", "HEIC", "jfif"])
def test_suffixes_count_in_any_case(suffix: str) -> None:
    _make(f"p/a.{suffix}")
    assert _ids("p") == [f"p/a.{suffix}"]


def test_a_linked_file_is_an_image_and_a_linked_folder_is_followed() -> None:
    _make("p/a.jpg", "q/b.jpg")
    os.symlink("a.jpg", "p/link.jpg")
    os.symlink("../q", "p/folder")
    os.symlink("../q", "p/folder.jpg")
    assert _ids("p") == ["p/a.jpg", "p/folder/b.jpg", "p/folder.jpg/b.jpg", "p/link.jpg"]


@pytest.mark.parametrize("name", ["photo", "photo.dat", ".hidden.jpg", "a[1].jpg", "@x.jpg", "a*.jpg", "what?.jpg"])
def test_a_file_that_is_named_is_taken_whatever_it_is_called(name: str) -> None:
    _make(name, "a1.jpg")
    assert _ids(name) == [name]


@pytest.mark.parametrize("name", ["p[1]", "@p", "p*"])
def test_a_folder_that_is_named_is_taken_whatever_it_is_called(name: str) -> None:
    _make(f"{name}/a.jpg")
    assert _ids(name) == [f"{name}/a.jpg"]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("p", ["p/a.jpg"]),
        ("p/", ["p/a.jpg"]),
        ("./p", ["./p/a.jpg"]),
        ("p/../p", ["p/../p/a.jpg"]),
        ("./p/a.jpg", ["./p/a.jpg"]),
        ("./p/*.jpg", ["./p/a.jpg"]),
        ("./d.zip/v", ["./d.zip/v/a.jpg"]),
    ],
)
def test_ids_are_as_written(text: str, ids: list[str]) -> None:
    _make("p/a.jpg")
    _zip("d.zip", ["v/a.jpg"])
    assert _ids(text) == ids


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("p/*.jpg", ["p/10.jpg", "p/a.jpg", "p/b.jpg"]),
        ("p/[ab].*", ["p/a.jpg", "p/b.jpg"]),
        ("p/?.png", []),
        ("p/**/*.jpg", ["p/10.jpg", "p/a.jpg", "p/b.jpg", "p/q/c.jpg", "p/q/r/d.jpg"]),
        ("p/q*", ["p/q/c.jpg", "p/q/r/d.jpg"]),
        ("p/**", ["p/10.jpg", "p/a.jpg", "p/b.jpg", "p/q/c.jpg", "p/q/r/d.jpg"]),
        ("p/*", ["p/10.jpg", "p/a.jpg", "p/b.jpg", "p/q/c.jpg", "p/q/r/d.jpg"]),
    ],
)
def test_a_quoted_glob_gives_each_image_once_in_order(pattern: str, ids: list[str]) -> None:
    _make("p/b.jpg", "p/a.jpg", "p/10.jpg", "p/q/c.jpg", "p/q/r/d.jpg", "p/.hidden.jpg")
    if ids:
        assert _ids(pattern) == ids
    else:
        with pytest.raises(InputNotFound, match="nothing matches"):
            _ids(pattern)


def test_a_list_keeps_its_order_and_its_missing_entries() -> None:
    _make("b.jpg", "a.jpg")
    Path("list.txt").write_bytes(b"b.jpg\r\n\n  \nmissing.jpg\na.jpg")
    b, missing, a = list_images(["@list.txt"])
    assert [b.id, missing.id, a.id] == ["b.jpg", "missing.jpg", "a.jpg"]
    assert read_bytes(b.reference) == b"b.jpg"
    with pytest.raises(FileNotFoundError):
        read_bytes(missing.reference)


def test_a_list_may_name_folders_archives_and_files_with_odd_names() -> None:
    _make("p/b.jpg", "p/a.jpg", "a[1].jpg", "@x.jpg", "with space .jpg", "#no.jpg")
    _zip("d.zip", ["c.jpg"])
    Path("list.txt").write_text("d.zip\np\na[1].jpg\n@x.jpg\nwith space .jpg\n#no.jpg\n")
    assert _ids("@list.txt") == [
        "d.zip/c.jpg",
        *("p/a.jpg", "p/b.jpg"),
        *("a[1].jpg", "@x.jpg", "with space .jpg", "#no.jpg"),
    ]


def test_a_list_may_begin_with_a_byte_order_mark() -> None:
    Path("list.txt").write_text("\ufeffa.jpg\n", encoding="utf-8")
    assert _ids("@list.txt") == ["a.jpg"]


def test_a_list_may_hold_names_that_are_not_utf8() -> None:
    Path("list.txt").write_bytes(b"\xff.jpg\n")
    assert _ids("@list.txt") == [os.fsdecode(b"\xff.jpg")]


def test_backslashes_alone_are_not_the_whole_disk() -> None:
    Path("list.txt").write_text("\\\n\\\\\n")
    assert _ids("@list.txt") == ["\\", "\\\\"]


def test_standard_input_is_a_list_among_the_inputs() -> None:
    _make("a.jpg", "b.jpg")
    assert _ids("b.jpg", "-", stdin="a.jpg\nmissing.jpg\n") == ["b.jpg", "a.jpg", "missing.jpg"]


def test_standard_input_may_hold_names_that_are_not_utf8() -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"a.jpg\n\xff.jpg\n"), encoding="utf-8")
    assert [item.id for item in list_images(["-"], stdin=stdin)] == ["a.jpg", os.fsdecode(b"\xff.jpg")]


def test_an_archive_is_read_in_order_without_what_is_hidden() -> None:
    wanted = ["10.jpg", "2.jpg", "B.JPG", "a/b.png", "a.jpg"]
    hidden = ["__MACOSX/._a.jpg", "a/__MACOSX/x.jpg", ".x.jpg", "a/.t/x.jpg", "notes.txt", "folder.jpg/"]
    _zip("d.zip", [*reversed(wanted), *hidden])
    items = list_images(["d.zip"])
    assert [item.id for item in items] == [f"d.zip/{name}" for name in wanted]
    assert [read_bytes(item.reference) for item in items] == [name.encode() for name in wanted]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("D.ZIP/v", ["v/a.jpg", "v/w/b.jpg"]),
        ("D.ZIP/v/", ["v/a.jpg", "v/w/b.jpg"]),
        ("D.ZIP/v/w", ["v/w/b.jpg"]),
        ("D.ZIP/v/a.jpg", ["v/a.jpg"]),
        ("D.ZIP/", ["c.jpg", "v/a.jpg", "v/w/b.jpg", "vv/d.jpg"]),
    ],
)
def test_a_folder_or_an_image_of_an_archive_may_be_named(text: str, names: list[str]) -> None:
    _zip("D.ZIP", ["c.jpg", "v/a.jpg", "v/w/b.jpg", "vv/d.jpg"])
    assert _ids(text) == [f"D.ZIP/{name}" for name in names]


def test_a_folder_called_like_an_archive_is_a_folder() -> None:
    _make("d.zip/a.jpg")
    assert _ids("d.zip") == ["d.zip/a.jpg"]


@pytest.mark.parametrize("text", ["p", "p/*.jpg", "@list.txt", os.fsdecode(b"p/\xff.jpg")])
def test_names_that_are_not_utf8_are_found_and_read(text: str) -> None:
    name = os.fsdecode(b"p/\xff.jpg")
    _make(name)
    Path("list.txt").write_text("p\n")
    (item,) = list_images([text])
    assert item.id == name
    assert read_bytes(item.reference) == b"p/\xff.jpg"


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["missing.jpg"], "missing.jpg"),
        (["a.jpg", "missing"], "missing"),
        (["p/*.tif"], r"nothing matches p/\*.tif"),
        (["@missing.txt"], "cannot read list missing.txt"),
        (["@empty.txt"], "no images in @empty.txt"),
        (["empty"], r"no images in empty; .*\.jpg"),
        (["texts"], "no images in texts"),
        (["bad.zip"], "cannot read bad.zip"),
        (["d.zip/missing"], "no images in d.zip/missing"),
        (["missing.zip"], "missing.zip"),
        (["@"], "no such image, folder or list: @;"),
        (["-"], "standard input"),
        ([], "no inputs were given"),
    ],
)
def test_an_input_that_holds_no_image_is_named(inputs: list[str], names: str) -> None:
    _make("a.jpg", "p/a.jpg", "texts/a.txt", "bad.zip", "empty.txt")
    Path("empty").mkdir()
    Path("empty.txt").write_text("\n")
    _zip("d.zip", ["a.jpg"])
    with pytest.raises(InputNotFound, match=names):
        list_images(inputs)
