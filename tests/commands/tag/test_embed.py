"""Keywords within photos, by ExifTool: pixels stay as they are, and undo brings back each byte."""

from __future__ import annotations

import builtins
import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clipcli
from clipcli.actions.exiftool import exiftool
from clipcli.actions.xmp import LISTS, read_packet
from clipcli.errors import MissingExtra, UsageError

from .conftest import LONG_AGO, Predict, files_below
from .test_tag import GROUPS, MINE

_MISSING = [name for name in ("exiftool", "exiv2") if shutil.which(name) is None]
needs_exiftool = pytest.mark.skipif(
    "exiftool" in _MISSING or importlib.util.find_spec("exiftool") is None,
    reason="needs ExifTool (apt install libimage-exiftool-perl) and pyexiftool",
)
needs_both = pytest.mark.skipif(
    bool(_MISSING), reason=f"needs {' and '.join(_MISSING)} (apt install libimage-exiftool-perl exiv2)"
)
NAMES = ["photos/a.jpg", "photos/-b c.png", "photos/d.tif", "photos/größe.jpeg", "photos/e.gif"]


def tag(**settings: Any) -> clipcli.Tagged:
    return clipcli.tag("predictions.csv", embed=True, **settings)


def packet_in(photo: str) -> bytes | None:
    with exiftool() as tool:
        return tool.packet_of(photo)


def pixels(path: str) -> Any:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


@needs_exiftool
def test_keywords_in_photos_change_no_pixel(predict: Predict) -> None:
    predict({name: ["beagle"] for name in NAMES}, classes=GROUPS)
    shown, before = {name: pixels(name) for name in NAMES}, files_below("photos")
    assert tag().counts == {"changed": 5}
    assert files_below("photos") == before
    done = tag(apply=True)
    assert (done.counts, done.failed) == ({"changed": 5}, ())
    for name in NAMES:
        assert (pixels(name) == shown[name]).all()
        assert Path(name).stat().st_mtime == LONG_AGO
        packet = read_packet(packet_in(name) or b"")
        assert packet.listed(LISTS["dc:subject"].key) == ("beagle", "dog", "animal")
        assert packet.listed(LISTS["lr:hierarchicalSubject"].key) == ("animal|dog|beagle",)
    assert sorted(files_below("photos")) == sorted(before)
    assert tag(apply=True).counts == {"same": 5}
    # Of each photo only the bytes are kept that changed.
    assert done.journal is not None
    assert done.journal.stat().st_size < 10_000
    assert not done.journal.with_suffix(".kept").exists()
    undone = clipcli.undo(done.journal)
    assert (undone.undone, undone.left) == ({"replace": 5}, ())
    assert files_below("photos") == before


@needs_exiftool
def test_what_else_is_in_a_photo_stays(predict: Predict) -> None:
    predict({"photos/a.jpg": ["cat"]}, classes=GROUPS)
    Path("mine.xmp").write_bytes(MINE)
    values = ["-XMP<=mine.xmp", "-EXIF:Artist=Ann", "-IPTC:City=Rome"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *values, "photos/a.jpg"], check=True)
    before, packet = files_below("photos"), packet_in("photos/a.jpg")
    tag(apply=True)
    said = subprocess.run(
        ["exiftool", "-s3", "-Artist", "-City", "-XMP-dc:Subject", "photos/a.jpg"], capture_output=True, text=True
    ).stdout
    assert said == "Ann\nRome\nmine, cat, animal\n"
    tag(apply=True, untag=True)
    assert packet_in("photos/a.jpg") == packet
    assert {name: data for name, (data, _) in files_below("photos").items()} == {
        name: data for name, (data, _) in before.items()
    }


@needs_exiftool
def test_a_line_break_in_a_name_does_no_harm(predict: Predict) -> None:
    predict({"photos/a\nb.jpg": ["dog"]})
    shown = pixels("photos/a\nb.jpg")
    assert (tag(apply=True).counts, tag(apply=True).counts) == ({"changed": 1}, {"same": 1})
    assert (pixels("photos/a\nb.jpg") == shown).all()
    assert read_packet(packet_in("photos/a\nb.jpg") or b"").listed(LISTS["dc:subject"].key) == ("dog",)


@needs_exiftool
def test_photos_that_exiftool_cannot_write_are_left(predict: Predict) -> None:
    predict({"photos/a.bmp": ["dog"], "photos/b.jpg": ["dog"], "photos/c.png": ["dog"]})
    Path("photos/b.jpg").write_bytes(Path("photos/c.png").read_bytes())
    before = files_below("photos")
    done = tag(apply=True)
    assert done.counts == {"changed": 1}
    assert [one.file for one in done.failed] == ["photos/a.bmp", "photos/b.jpg"]
    assert done.failed[0].reason == "ExifTool cannot write .bmp"
    assert done.failed[1].reason.startswith("ExifTool: Not a valid JPG")
    assert {name for name, file in files_below("photos").items() if file != before[name]} == {"c.png"}


@needs_both
@pytest.mark.parametrize("embed", [False, True])
def test_other_programs_read_the_keywords(predict: Predict, embed: bool) -> None:
    if embed and importlib.util.find_spec("exiftool") is None:
        pytest.skip("needs pyexiftool")
    predict({"photos/a.jpg": ["beagle", "R&D <1>"]}, classes=[*GROUPS, ("R&D <1>",)])
    clipcli.tag("predictions.csv", embed=embed, top_k=2, apply=True)
    file = "photos/a.jpg" if embed else "photos/a.jpg.xmp"
    tags = ("XMP-dc:Subject", "XMP-lr:HierarchicalSubject", "XMP-digiKam:TagsList", "XMP-clipcli:Labels")
    command = ["exiftool", "-s3", "-sep", ", ", *(f"-{name}" for name in tags), file]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wanted = ("beagle, dog, animal, R&D <1>", "animal|dog|beagle, R&D <1>", "animal/dog/beagle, R&D <1>")
    assert said.splitlines() == [*wanted, "beagle, R&D <1>"]
    assert subprocess.run(["exiftool", "-validate", "-s3", file], capture_output=True, text=True).stdout == "OK\n"
    said = subprocess.run(["exiv2", "-px", file], capture_output=True, text=True, check=True).stdout
    rows = {line.split(maxsplit=3)[0]: line.split(maxsplit=3)[1:] for line in said.splitlines()}
    assert rows["Xmp.dc.subject"] == ["XmpBag", "4", wanted[0]]
    assert rows["Xmp.lr.hierarchicalSubject"] == ["XmpBag", "2", wanted[1]]
    assert rows["Xmp.digiKam.TagsList"] == ["XmpSeq", "2", wanted[2]]
    assert rows["Xmp.clipcli.Scores"] == ["XmpSeq", "2", "0.9, 0.06"]


@needs_both
@pytest.mark.parametrize("program", ["exiv2", "exiftool"])
def test_a_sidecar_that_another_program_wrote_anew_is_known_again(predict: Predict, program: str) -> None:
    predict({"photos/a.jpg": ["beagle"]}, classes=GROUPS)
    clipcli.tag("predictions.csv", apply=True)
    sidecar = "photos/a.jpg.xmp"
    rate = {
        "exiv2": ["exiv2", "-M", "set Xmp.xmp.Rating 3", sidecar],
        "exiftool": ["exiftool", "-q", "-overwrite_original", "-XMP-xmp:Rating=3", sidecar],
    }
    subprocess.run(rate[program], check=True)
    assert clipcli.tag("predictions.csv", apply=True).counts == {"same": 1}
    assert clipcli.tag("predictions.csv", untag=True, apply=True).counts == {"changed": 1}
    said = subprocess.run(["exiftool", "-G1", "-s", "-XMP:all", sidecar], capture_output=True, text=True).stdout
    assert [line.split()[:2] for line in said.splitlines()] == [["[XMP-x]", "XMPToolkit"], ["[XMP-xmp]", "Rating"]]


def test_without_exiftool_it_says_how_to_get_it(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    predict({"photos/a.jpg": ["dog"]})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "exiftool" else builtins)
    with pytest.raises(MissingExtra, match=r"^embed=True needs pyexiftool; run pip install pyexiftool, "):
        tag()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: builtins)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingExtra, match="needs the program exiftool; install it, with apt install libimage-exif"):
        tag()


@needs_exiftool
def test_photos_have_no_sidecars_to_choose(predict: Predict) -> None:
    predict({"photos/a.jpg": ["dog"]})
    with pytest.raises(UsageError, match="embed=True writes no sidecars; drop it or sidecars"):
        tag(sidecars="full")
