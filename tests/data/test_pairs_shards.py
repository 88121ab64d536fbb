"""WebDataset shards become pairs: images are read where they lie, and a damaged shard gives what is whole."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path

import pytest
from small_data import captioned_colours, colours_in_threads

from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.reference import read as read_bytes
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound

Members = list[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, members: Members, *, format: int = tarfile.PAX_FORMAT) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def shard(*keys: str) -> Members:
    return [(f"{key}{suffix}", f"{text} {key}".encode()) for key in keys for suffix, text in PARTS]


PARTS = ((".jpg", "image"), (".txt", "caption"), (".cls", "class"))


def read(data: str) -> PairsRead:
    return read_pairs(Data(data), options=PairOptions(templates=("a {}",)))


def ids(found: PairsRead) -> list[str]:
    return [pair.item.id for pair in found.pairs]


def reasons(found: PairsRead) -> list[tuple[str, str]]:
    return [(skipped.item.id, skipped.reason) for skipped in found.skipped]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_of_one_key_are_a_pair_in_the_order_of_the_shard(format: int) -> None:
    long = "long/" + "n" * 200
    members = [
        ("./b.JPG", b"b"),
        ("./b.txt", "\ufeffa boat\n two boats ".encode()),
        ("a/b.json", b'{"caption": "a bee"}'),
        ("a/b.png", b"bee"),
        ("a/b.cls", b"7"),
        ("c.caption", b"a cat"),
        ("c.json", b'{"caption": "not this"}'),
        ("c.depth.png", b"depth"),
        ("c.webp", b"c"),
        (f"{long}.jpg", b"long"),
        (f"{long}.txt", b"a long name"),
        ("\N{CAT FACE}.jpg", b"cat"),
        ("\N{CAT FACE}.txt", b"a cat's face"),
        ("__MACOSX/._b.jpg", b""),
        ("._b.jpg", b""),
        ("notes.md", b""),
    ]
    write("d/s.tar", members, format=format)
    found = read("d/s.tar")
    assert [(pair.item.id, pair.captions, read_bytes(pair.item.reference)) for pair in found.pairs] == [
        ("d/s.tar/b.JPG", ("a boat", "two boats"), b"b"),
        ("d/s.tar/a/b.png", ("a bee",), b"bee"),
        ("d/s.tar/c.webp", ("a cat",), b"c"),
        (f"d/s.tar/{long}.jpg", ("a long name",), b"long"),
        ("d/s.tar/\N{CAT FACE}.jpg", ("a cat's face",), b"cat"),
    ]
    assert found.skipped == []


def test_keys_end_at_the_first_dot_of_the_name() -> None:
    write("s.tar", [("v1.2/a.x.jpg", b""), ("v1.2/a.txt", b"one"), ("v1.2/b.jpg", b""), ("v1.txt", b"two")])
    found = read("s.tar")
    assert [(pair.item.id, pair.captions) for pair in found.pairs] == [("s.tar/v1.2/a.x.jpg", ("one",))]
    assert reasons(found) == [("s.tar/v1.2/b.jpg", "no caption"), ("s.tar/v1", "no image")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b" \n", "no caption"),
        ("a.cls", b"7", "no caption"),
        ("a.txt", b"caf\xe9", "caption is not UTF-8"),
        ("a.json", b"{", "caption file is not JSON"),
    ],
)
def test_an_image_without_a_good_caption_is_skipped(name: str, content: bytes, reason: str) -> None:
    write("s.tar", [("a.jpg", b"a"), (name, content), *shard("z")])
    found = read("s.tar")
    assert ids(found) == ["s.tar/z.jpg"]
    assert reasons(found) == [("s.tar/a.jpg", reason)]
    assert read_bytes(found.skipped[0].item.reference) == b"a"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("d/s-008.tar", ["008"]),
        ("d/s-{008..010}.tar", ["008", "009", "010"]),
        ("d/s-{010..008}.tar", ["010", "009", "008"]),
        ("d/s-0{08..09}.tar", ["008", "009"]),
        ("d/s-0{0..1}{8..9}.tar", ["008", "009", "018", "019"]),
        ("d/s-*.tar", ["008", "009", "010", "018", "019"]),
        ("d/s-{00..01}[89].tar", ["008", "009", "018", "019"]),
        ("d", ["008", "009", "010", "018", "019"]),
        ("d/", ["008", "009", "010", "018", "019"]),
    ],
)
def test_several_shards_are_read_in_order(text: str, numbers: list[str]) -> None:
    for number in ["019", "018", "010", "009", "008"]:
        write(f"d/s-{number}.tar", shard(f"z{number}", f"a{number}"))
    write("d/.hidden.tar", shard("h"))
    Path("d/sizes.json").write_text("{}")
    found = read(text)
    assert ids(found) == [f"d/s-{number}.tar/{key}{number}.jpg" for number in numbers for key in "za"]
    assert [pair.captions[0] for pair in found.pairs] == [f"caption {key}{n}" for n in numbers for key in "za"]


@pytest.mark.parametrize("name", ["s-{0..1}.tar", "s[1].tar", "S.TAR"])
def test_a_shard_that_is_really_called_so_is_itself(name: str) -> None:
    write(name, shard("a"))
    assert ids(read(name)) == [f"{name}/a.jpg"]


def test_a_folder_with_images_is_not_one_of_shards() -> None:
    write("d/s.tar", shard("a"))
    Path("d/b.jpg").touch()
    Path("d/b.txt").write_text("a boat")
    assert ids(read("d")) == ["d/b.jpg"]


def test_images_are_read_by_several_threads() -> None:
    colours = [(n, 255 - n, 7) for n in range(100)]
    write("s.tar", list(captioned_colours(colours).items()))
    pairs = read("s.tar").pairs
    assert colours_in_threads([pair.item for pair in pairs]) == colours
    assert [pair.captions for pair in pairs] == [(str(colour),) for colour in colours]


def test_no_file_stays_open() -> None:
    write("s.tar", shard("a"))
    before = os.listdir("/dev/fd")
    pairs = read("s.tar").pairs
    read_bytes(pairs[0].item.reference)
    assert len(os.listdir("/dev/fd")) == len(before)


@pytest.mark.parametrize("cut", range(0, 20 * 512, 256))
def test_a_shard_that_was_cut_off_gives_what_is_whole(cut: int) -> None:
    # Each member takes two blocks of 512, one for its header and one for its 300 bytes, so a pair takes six.
    write("s.tar", [(name, content.ljust(300, b".")) for name, content in shard("a", "b", "c")])
    write("z.tar", shard("z"))
    whole = Path("s.tar").read_bytes()
    Path("s.tar").write_bytes(whole[:cut])
    found = read("[sz].tar")
    keys = [key for n, key in enumerate("abc") if cut >= n * 6 * 512 + 3 * 512 + 300]
    assert ids(found) == [*(f"s.tar/{key}.jpg" for key in keys), "z.tar/z.jpg"]
    assert [read_bytes(pair.item.reference).rstrip(b".") for pair in found.pairs] == [
        f"image {k}".encode() for k in [*keys, "z"]
    ]
    damage = [reason for where, reason in reasons(found) if where == "s.tar"]
    if cut < 19 * 512:
        assert len(damage) == 1
        assert damage[0].startswith("cut off or damaged")
    else:
        assert damage == []


def test_a_shard_with_a_damaged_header_gives_what_comes_before() -> None:
    write("s.tar", shard("a", "b"))
    content = bytearray(Path("s.tar").read_bytes())
    content[6 * 512 : 6 * 512 + 20] = b"x" * 20
    Path("s.tar").write_bytes(content)
    found = read("s.tar")
    assert ids(found) == ["s.tar/a.jpg"]
    assert reasons(found) == [("s.tar", "cut off or damaged at byte 3072")]


def test_links_and_folders_in_a_shard_are_not_images() -> None:
    write("s.tar", shard("a"))
    with tarfile.open("s.tar", "a") as archive:
        for name, kind in [("b.jpg", tarfile.SYMTYPE), ("c.jpg", tarfile.LNKTYPE), ("d.jpg", tarfile.DIRTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.jpg"
            archive.addfile(info)
    found = read("s.tar")
    assert (ids(found), found.skipped) == (["s.tar/a.jpg"], [])


def test_a_shard_that_shrinks_later_is_a_bad_image() -> None:
    write("s.tar", shard("a"))
    (pair,) = read("s.tar").pairs
    os.truncate("s.tar", 515)
    with pytest.raises(OSError, match=r"^truncated: s.tar has changed since it was listed$"):
        read_bytes(pair.item.reference)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.tar", "no such shard: missing.tar; check the path"),
        ("s-{0..9999999999999}.tar", "no such shard: s-2.tar; check the path"),
        ("no-*.tar", "nothing matches no-*.tar; check the pattern"),
        ("x.tar.gz", "x.tar.gz is compressed, so its images cannot be read where they lie; unpack it to a .tar"),
        ("X.TGZ", "X.TGZ is compressed"),
        ("packed", "packed/x.tar.zst is compressed"),
        ("text.tar", "no pairs found in text.tar: 1 skipped, the first, text.tar, for 'cut off or damaged: "),
        ("empty.tar", "no pairs found in empty.tar: it is empty; give data with images and captions"),
        ("images.tar", "no pairs found in images.tar: 1 skipped, the first, images.tar/a.jpg, for 'no caption'; give"),
    ],
)
def test_shards_that_cannot_be_read_are_an_error(text: str, message: str) -> None:
    write("s-0.tar", shard("a"))
    write("s-1.tar", shard("b"))
    write("empty.tar", [])
    write("images.tar", [("a.jpg", b"")])
    write("packed/x.tar.zst", [])
    for name in ("x.tar.gz", "X.TGZ", "text.tar"):
        Path(name).write_bytes(b"not a tar " * 100)
    with pytest.raises(InputNotFound, match=re.escape(message)) as caught:
        read(text)
    assert "\n" not in str(caught.value)
