"""Names of members in shards that other tools take for one sample, or for none."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from small_data import jpeg

import clipcli
from clipcli.data.columns import Columns
from clipcli.data.labelled import labelled_of, read_labelled
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.tree import Data
from clipcli.errors import BadFile


def shard(path: Path, *names: str) -> str:
    """A shard of these members: images are photos, and a text is its own name."""
    with tarfile.open(path, "w") as archive:
        for name in names:
            content = name.encode() if name.endswith((".txt", ".cls", ".caption")) else jpeg()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def read(data: str) -> PairsRead:
    return read_pairs(Data(data), options=PairOptions(templates=("a {}",)))


def test_dots_in_names_do_not_make_one_sample_of_forty(tmp_path: Path) -> None:
    """webdataset#237, datasets#6880: `cat.0.jpg` and `cat.1.jpg` have one key up to the first dot."""
    keys = [f"{kind}.{n}" for kind in ("cat", "dog") for n in range(20)]
    found = read(shard(tmp_path / "s.tar", *(f"{key}{suffix}" for key in keys for suffix in (".jpg", ".txt"))))
    assert [(pair.item.id, pair.captions) for pair in found.pairs] == [
        (f"{tmp_path}/s.tar/{key}.jpg", (f"{key}.txt",)) for key in keys
    ]
    assert found.skipped == []


def test_the_same_names_give_the_same_pairs_in_a_folder_and_in_a_shard(tmp_path: Path) -> None:
    names = ["a.0.jpg", "a.0.txt", "a.1.jpg", "a.2.txt", "b.v1.5.png", "b.v1.5.caption", "c.jpg", "c.txt"]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(name.encode() if not name.endswith((".jpg", ".png")) else jpeg())
    pairs = []
    for data in (str(folder), shard(tmp_path / "s.tar", *names)):
        found = read(data)
        pairs.append([(pair.item.id.removeprefix(f"{data}/"), pair.captions) for pair in found.pairs])
        assert (f"{data}/a.1.jpg", "no caption") in [(one.item.id, one.reason) for one in found.skipped]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) == 3


def test_labels_of_dotted_names_are_each_images_own(tmp_path: Path) -> None:
    data = shard(tmp_path / "s.tar", "x.0.jpg", "x.0.cls", "x.1.jpg", "x.1.cls")
    found = labelled_of(read_labelled(Data(data), columns=Columns()))
    assert [(one.item.id, one.name) for one in found] == [(f"{data}/x.{n}.jpg", f"x.{n}.cls") for n in range(2)]


def test_webdatasets_own_way_stays(tmp_path: Path) -> None:
    """Several images of one key with one text: the one with the fewest dots has it."""
    data = shard(tmp_path / "s.tar", "7.mask.png", "7.jpg", "7.txt", "8.seg.png", "8.txt")
    assert [(pair.item.id, pair.captions) for pair in read(data).pairs] == [
        (f"{data}/7.jpg", ("7.txt",)),
        (f"{data}/8.seg.png", ("8.txt",)),
    ]


@pytest.mark.parametrize("text", ["9.txt", "9.cls"])
def test_a_text_that_may_be_about_two_images_is_an_error_that_names_the_key(tmp_path: Path, text: str) -> None:
    data = shard(tmp_path / "s.tar", "7.jpg", "7.txt", "9.input.jpg", "9.target.jpg", text)
    with pytest.raises(BadFile, match=r"s\.tar: the text of key 9 may be about 9\.input\.jpg or 9\.target\.jpg; give"):
        read(data)
    rows = list(clipcli.classify(data, labels=["cat"], model="tiny", cache=False))
    assert len(rows) == 3
