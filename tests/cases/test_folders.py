"""Folders as people have them: links, what a NAS leaves there, files that are no images, and no permission."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_data import jpeg

import clipcli
from clipcli.data.columns import Columns
from clipcli.data.file_names import IMAGE_SUFFIXES
from clipcli.data.images import list_images
from clipcli.data.labelled import LabelledData, labelled_of, read_labelled
from clipcli.data.pairs import PairOptions, read_pairs
from clipcli.data.tree import Data
from clipcli.notices import Notices
from clipcli.records import Skipped


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(jpeg())


def listed(*inputs: str, exclude: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """The images of these inputs, and what is said of them."""
    notices = Notices()
    ids = [item.id for item in list_images(inputs, notices=notices, exclude=exclude)]
    return ids, [event.message for event in notices.events()]


def labelled(data: str) -> LabelledData:
    return read_labelled(Data(data), Columns())


def test_a_class_folder_that_is_a_link_is_a_class() -> None:
    """photoview#431: two classes of three were all there was, 100 % of them right."""
    make("data/cat/1.jpg", "data/dog/1.jpg", "elsewhere/1.jpg")
    os.symlink("../elsewhere", "data/fox")
    assert labelled("data").names == ("cat", "dog", "fox")
    assert [one.item.id for one in labelled_of(labelled("data"))] == [
        "data/cat/1.jpg",
        "data/dog/1.jpg",
        "data/fox/1.jpg",
    ]
    pairs = read_pairs(Data("data"), options=PairOptions(("a {}",))).pairs
    assert [(pair.item.id, pair.label) for pair in pairs][-1] == ("data/fox/1.jpg", "fox")


@pytest.mark.parametrize("target", [".", "..", "../..", "../../q", "../sub"])
def test_a_link_that_goes_round_is_not_followed_for_ever(target: str) -> None:
    make("p/a.jpg", "p/sub/b.jpg", "q/c.jpg")
    os.symlink("../p", "q/back")
    os.symlink(target, "p/sub/link")
    ids, said = listed("p")
    assert ids[:2] == ["p/a.jpg", "p/sub/b.jpg"]
    assert ids[2:] == (["p/sub/link/c.jpg"] if target == "../../q" else [])
    assert said == [
        f"1 link leads to a folder around it, p/sub/link{'/back' if target == '../../q' else ''}: not followed"
    ]


def test_a_link_to_nothing_is_a_file_that_is_not_there() -> None:
    make("p/a.jpg")
    os.symlink("gone", "p/b.jpg")
    assert listed("p")[0] == ["p/a.jpg", "p/b.jpg"]


JUNK = (
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/b.jpg", "$RECYCLE.BIN/c.jpg", ".Trash-1000/d.jpg"),
    *("__MACOSX/e.jpg", "._a.jpg", "System Volume Information/f.jpg", ".thumbnails/g.jpg", "@Recycle/h.jpg"),
)


@pytest.mark.parametrize("in_zip", [False, True])
def test_what_a_nas_leaves_behind_is_no_photo_and_no_class(in_zip: bool) -> None:
    """immich PR#12566: thumbnails and deleted photos are labelled as photos, and their folders are classes."""
    make("p/cat/a.jpg", *(f"p/{path}" for path in JUNK), *(f"p/cat/{path}" for path in JUNK))
    Path("p/cat/Thumbs.db").write_bytes(b"")
    Path("p/.DS_Store").write_bytes(b"")
    if in_zip:
        shutil.make_archive("p", "zip", "p")
    data = "p.zip" if in_zip else "p"
    ids, said = listed(data)
    assert ids == [f"{data}/cat/a.jpg"]
    left_out = [line for line in said if "system" in line]
    assert left_out == [
        f"18 hidden images and folders of the system, such as {data}/#recycle: left out; name one as an input to have"
        " it read"
    ]
    assert labelled(data).names == ("cat",)


def test_files_that_are_no_images_are_counted_by_kind() -> None:
    """photoprism#3705: one photo and 16 other files gave "1 rows"."""
    make("p/a.jpg")
    for n in range(9):
        Path(f"p/{n}.MP4").touch()
    for name in ("a.xmp", "b.xmp", "c.xmp", "d.cr2", "e.cr2", "README", "notes.txt"):
        Path(f"p/{name}").touch()
    assert listed("p") == (
        ["p/a.jpg"],
        [
            "16 files are no images, such as p/0.MP4 (9 video, 3 sidecar, 2 RAW, 1 without a suffix, 1 document):"
            " passed over; name one as an input to have it tried"
        ],
    )


def test_texts_that_may_be_about_the_images_are_not_counted() -> None:
    make("p/cat/a.jpg")
    Path("p/cat/a.txt").write_text("a cat")
    Path("p/cat/a.xmp").touch()
    data = Data("p")
    read_pairs(data, options=PairOptions(("a {}",)))
    assert [event.message for event in data.notices.events()] == [
        "1 file is no image, p/cat/a.xmp: passed over; name one as an input to have it tried"
    ]


# What Pillow opens, but has no pixels of: documents, films and data, and what other programs must draw.
NO_PIXELS = {".ps", ".eps", ".mpg", ".mpeg", ".h5", ".hdf", ".grib", ".bufr", ".wmf", ".emf"}


def test_whatever_pillow_decodes_is_an_image_in_a_folder() -> None:
    Image.init()
    decoded = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    assert decoded - NO_PIXELS <= IMAGE_SUFFIXES
    assert {".hif", ".mpo", ".apng", ".j2k", ".dib", ".jfif", ".heic"} <= IMAGE_SUFFIXES


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may list folders called `locked`; a superuser may list what others may not."""
    real = os.scandir

    def scandir(path: Any) -> Any:
        if os.path.basename(path) == "locked":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.usefixtures("locked")
def test_a_folder_that_cannot_be_read_costs_its_own_images_only() -> None:
    """immich#12713: one `lost+found` ended the run without a row."""
    make("p/a.jpg", "p/locked/b.jpg", "p/z.jpg")
    with pytest.warns(clipcli.errors.ClipcliWarning, match="1 folder cannot be read, p/locked: its images are missing"):
        rows = list(clipcli.classify("p", labels=["cat", "dog"], model="tiny", cache=False))
    assert [(row.path, row.error) for row in rows] == [
        ("p/a.jpg", None),
        ("p/locked", "a folder that cannot be read: Permission denied"),
        ("p/z.jpg", None),
    ]


@pytest.mark.usefixtures("locked")
def test_a_class_folder_that_cannot_be_read_is_skipped_with_its_reason() -> None:
    make("p/cat/a.jpg", "p/cat/locked/b.jpg", "p/dog/a.jpg", "p/locked/b.jpg")
    skipped = [entry for entry in labelled("p").entries if isinstance(entry, Skipped)]
    assert [(one.item.id, one.reason) for one in skipped] == [
        ("p/cat/locked", "a folder that cannot be read: Permission denied"),
        ("p/locked", "a folder that cannot be read: Permission denied"),
    ]
    pairs = read_pairs(Data("p"), options=PairOptions(("a {}",)))
    assert [one.reason for one in pairs.skipped] == ["a folder that cannot be read: Permission denied"] * 2
    assert len(pairs.pairs) == 2


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (("*.png",), ["p/a.jpg", "p/raw/b.jpg", "p/sub/raw/c.jpg"]),
        (("raw",), ["p/a.jpg", "p/d.png"]),
        (("sub/*",), ["p/a.jpg", "p/d.png", "p/raw/b.jpg"]),
        (("raw", "*.png"), ["p/a.jpg"]),
    ],
)
@pytest.mark.parametrize("in_zip", [False, True])
def test_what_fits_a_pattern_is_left_out_and_counted(patterns: tuple[str, ...], left: list[str], in_zip: bool) -> None:
    make("p/a.jpg", "p/raw/b.jpg", "p/sub/raw/c.jpg", "p/d.png")
    if in_zip:
        shutil.make_archive("p", "zip", "p")
        left = [path.replace("p/", "p.zip/", 1) for path in left]
    ids, said = listed("p.zip" if in_zip else "p", exclude=patterns)
    assert ids == left
    assert any("exclude" in line for line in said)


def test_patterns_are_for_listed_paths_too() -> None:
    make("a.jpg", "raw/b.jpg")
    Path("list.txt").write_text("a.jpg\nraw/b.jpg\n")
    assert listed("@list.txt", exclude=("raw/*",))[0] == ["a.jpg"]
    assert listed("**/*.jpg", exclude=("b.*",))[0] == ["a.jpg"]


def test_a_name_that_leads_out_of_a_zip_is_left_out() -> None:
    with zipfile.ZipFile("p.zip", "w") as archive:
        archive.writestr("../up.jpg", jpeg())
        archive.writestr("a.jpg", jpeg())
    assert listed("p.zip")[0] == ["p.zip/a.jpg"]
