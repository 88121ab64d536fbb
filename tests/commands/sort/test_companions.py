"""What belongs to an image is told by its name, as cameras and programs give it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.commands.sort.companions import Companions, renamed

LONG = "Screenshot_20240101-120000_Some App With A Name.jpg"


@pytest.mark.parametrize(
    ("image", "others", "not_its"),
    [
        # darktable and digiKam, with darktable's duplicates.
        ("IMG_1.jpg", ["IMG_1.jpg.xmp", "IMG_1_01.jpg.xmp"], ["IMG_10.jpg.xmp", "IMG_1.jpg.bak", "IMG_1_1.jpg.xmp"]),
        # Lightroom, RAW+JPEG, a Live Photo, Apple's edits, RawTherapee, a voice memo and a caption.
        (
            "IMG_1.JPG",
            ["IMG_1.xmp", "img_1.CR2", "IMG_1.mov", "IMG_1.AAE", "IMG_1.JPG.pp3", "IMG_1.wav", "IMG_1.txt"],
            ["IMG_1.png", "IMG_1.pdf", "IMG_1.avi", "IMG_1.mp3", "IMG_2.xmp", "IMG_1 copy.xmp", "IMG_1.2.xmp"],
        ),
        # Google Takeout, also with names cut to 46 characters and copies of the same name.
        (
            "IMG_1.jpg",
            ["IMG_1.jpg.json", "IMG_1.jpg.supplemental-metadata.json", "IMG_1.jpg.supplemental-me.json"],
            ["IMG_1.jpg(1).json", "IMG_1(1).jpg.json", "IMG_1.jpg.supplemental-metadata(1).json"],
        ),
        (
            "IMG_1(1).jpg",
            ["IMG_1.jpg(1).json", "IMG_1.jpg.supplemental-metadata(1).json", "IMG_1(1).jpg.json"],
            ["IMG_1.jpg.json", "IMG_1.jpg(2).json"],
        ),
        (LONG, [f"{LONG[:46]}.json"], [f"{LONG[:45]}.json"]),
        # The image of a RAW.
        ("IMG_1.dng", ["IMG_1.jpg", "IMG_1.xmp"], ["IMG_1.jpg.txt"]),
        ("noted", ["noted.xmp"], ["note.xmp"]),
        ("thumbs.jpg", [], ["thumbs.db", "thumbs.ini"]),
    ],
)
def test_what_belongs_to_an_image(tmp_path: Path, image: str, others: list[str], not_its: list[str]) -> None:
    for name in (image, *others, *not_its):
        (tmp_path / name).touch()
    (tmp_path / "IMG_1.json").mkdir(exist_ok=True)
    assert Companions().of(str(tmp_path / image)) == sorted(str(tmp_path / other) for other in others)


def test_a_duplicate_that_is_an_image_itself_keeps_its_sidecar(tmp_path: Path) -> None:
    for name in ("IMG_1.jpg", "IMG_1_01.jpg", "IMG_1_01.jpg.xmp"):
        (tmp_path / name).touch()
    assert Companions().of(str(tmp_path / "IMG_1.jpg")) == []
    assert Companions().of(str(tmp_path / "IMG_1_01.jpg")) == [str(tmp_path / "IMG_1_01.jpg.xmp")]


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert Companions().of(str(tmp_path / "gone" / "a.jpg")) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_1.jpg.xmp", "IMG_1-2.jpg.xmp"),
        ("IMG_1.xmp", "IMG_1-2.xmp"),
        ("img_1.CR2", "IMG_1-2.CR2"),
        ("IMG_1.jpg.supplemental-me.json", "IMG_1-2.jpg.supplemental-me.json"),
        ("IMG.jpg(1).json", "IMG_1-2.jpg.json"),
    ],
)
def test_they_keep_the_name_of_their_image(name: str, expected: str) -> None:
    assert renamed(name, image="IMG_1.jpg", to="IMG_1-2.jpg") == expected
    assert renamed(name, image="IMG_1.jpg", to="IMG_1.jpg").lower() in (name.lower(), "img_1.jpg.json")
