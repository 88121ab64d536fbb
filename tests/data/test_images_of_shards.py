"""Images of shards: one item for each image member, in the order of the shards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_data import sharded

from clipcli.data.images import list_images
from clipcli.data.reference import NoImage, read
from clipcli.data.tars import split_tar
from clipcli.errors import InputNotFound


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d").mkdir()
    for n in (2, 1, 0):
        members = {f"{key}.{suffix}": f"{n} {key}".encode() for key in "zay" for suffix in ("jpg", "txt", "cls")}
        sharded(Path(f"d/s-{n:03}.tar"), members)


@pytest.mark.parametrize("text", ["d/s-{000..002}.tar", "d/s-*.tar", "d", "@list.txt", "d/*"])
def test_shards_are_read_in_order(text: str) -> None:
    Path("list.txt").write_text("d/s-000.tar\nd/s-001.tar\nd/s-002.tar\n")
    items = list_images([text])
    assert [item.id for item in items] == [f"d/s-{n:03}.tar/{key}.jpg" for n in range(3) for key in "zay"]
    assert [read(item.reference) for item in items] == [f"{n} {key}".encode() for n in range(3) for key in "zay"]
    assert {item.file for item in items} == {f"d/s-{n:03}.tar" for n in range(3)}


def test_every_image_member_is_an_item_and_nothing_else() -> None:
    names = ["./a.mask.png", "a.jpg", "a.txt", "b.txt", "b.cls", "notes.md", "__MACOSX/a.jpg", "c/d.webp"]
    sharded(Path("x.tar"), {name: name.encode() for name in names})
    assert [item.id for item in list_images(["x.tar"])] == ["x.tar/a.mask.png", "x.tar/a.jpg", "x.tar/c/d.webp"]


def test_a_damaged_shard_gives_what_is_whole_and_says_what_is_wrong() -> None:
    content = bytearray(Path("d/s-001.tar").read_bytes())
    content[6 * 512 : 6 * 512 + 20] = b"x" * 20
    Path("d/s-001.tar").write_bytes(content)
    items = list_images(["d/s-{000..002}.tar"])
    assert [item.id for item in items][2:6] == [
        *("d/s-000.tar/y.jpg", "d/s-001.tar/z.jpg"),
        *("d/s-001.tar", "d/s-002.tar/z.jpg"),
    ]
    with pytest.raises(NoImage, match=r"^cut off or damaged at byte 3072$"):
        read(items[4].reference)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("d/s-{000..003}.tar", "no such shard: d/s-003.tar"),
        ("no.tar", "no such shard: no.tar"),
        ("x.tar.gz", "x.tar.gz is compressed"),
        ("no-*.tar", r"nothing matches no-\*.tar"),
        ("empty.tar", r"no images in empty.tar; looked for .*\.jpg"),
    ],
)
def test_shards_that_cannot_be_read_are_an_error(text: str, message: str) -> None:
    Path("x.tar.gz").touch()
    sharded(Path("empty.tar"), {"a.txt": b"no image"})
    with pytest.raises(InputNotFound, match=f"^{message}"):
        list_images([text])


def test_a_folder_of_images_and_shards_gives_its_images() -> None:
    Path("d/a.jpg").write_bytes(b"a")
    assert [item.id for item in list_images(["d"])] == ["d/a.jpg"]
    assert os.path.isdir("d")


def test_a_path_through_a_shard_is_split_there() -> None:
    sharded(Path("d/s.tar"), {"in/a.jpg": b"a"})
    assert split_tar("d/s.tar/in/a.jpg") == ("d/s.tar", "in/a.jpg")
    assert split_tar("d/s.tar") is None
    assert split_tar("d/other.tar/in/a.jpg") is None
