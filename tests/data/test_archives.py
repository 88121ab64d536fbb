"""Archives read nothing outside themselves, and unpack to no more than they may."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from clipcli.data import archives
from clipcli.data.archives import TooLarge, checked_zip, read_member
from clipcli.data.images import list_images
from clipcli.data.reference import read
from clipcli.data.tars import read_shard
from clipcli.errors import InputNotFound
from clipcli.notices import Notices
from clipcli.records import ImageItem

OUTSIDE = ("../../secret.png", "/secret.png", "a/../../secret.png", "..\\secret.png", "C:\\secret.png")


def png(color: str = "red") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(stream, "PNG")
    return stream.getvalue()


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def items_of(path: Path) -> list[ImageItem]:
    return list(list_images([str(path)], stdin=io.StringIO(), notices=Notices()))


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_is_read_from_its_archive_whatever_it_is_called(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "secret.png").write_bytes(png("blue"))
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"a.{kind}"
    if kind == "zip":
        zipped(path, {name: png()})
    else:
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(png())
            archive.addfile(member, io.BytesIO(png()))
    before = sorted(tmp_path.rglob("*"))
    # A name of a shard with `..` in it is taken for hidden.
    with suppress(InputNotFound):
        assert [read(item.reference) for item in items_of(path)] == [png()]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_in_a_shard_is_not_followed(tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "secret.png").write_bytes(png("blue"))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = kind, str(tmp_path / "secret.png")
        archive.addfile(link)
    assert read_shard(str(tmp_path / "a.tar")).groups == ()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_in_a_zip_costs_its_row_and_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    monkeypatch.setattr(archives, "FROM_BYTES", 1 << 20)
    path = zipped(tmp_path / "a.zip", {"bomb.png": bytes(3 << 20), "good.png": png()}, method)
    assert path.stat().st_size < 10_000
    tracemalloc.start()
    archive = checked_zip(str(path))
    with pytest.raises(TooLarge, match=r"it would unpack to 3,145,728 bytes, \d[\d,]* times its size"):
        read_member(archive, "bomb.png")
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    assert read_member(archive, "good.png") == png()
    archive.close()


def test_a_size_that_is_a_lie_unpacks_no_more_than_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"bomb.png": bytes(20 << 20)})
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.rindex(mark) + place, 1000)
    path.write_bytes(data)
    archive = checked_zip(str(path))
    tracemalloc.start()
    with pytest.raises(zipfile.BadZipFile, match="Bad CRC"):
        read_member(archive, "bomb.png")
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    archive.close()


def test_a_list_of_members_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {f"{n}.png": b"" for n in range(100)})
    monkeypatch.setattr(archives, "MOST_OF_LIST", 1000)
    with pytest.raises(TooLarge, match="its list of members takes 5,"):
        checked_zip(str(path))
    monkeypatch.setattr(archives, "MOST_OF_LIST", 10_000)
    with checked_zip(str(path)) as archive:
        assert len(archive.namelist()) == 100


def test_a_long_list_by_zip64_is_seen(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", png())
    data = (tmp_path / "a.zip").read_bytes()
    at = data.rindex(b"PK\x05\x06")
    end = bytearray(data[at:])
    struct.pack_into("<I", end, 12, 0xFFFFFFFF)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 1 << 40, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    (tmp_path / "a.zip").write_bytes(data[:at] + record + locator + bytes(end))
    with pytest.raises(TooLarge, match="takes 1,099,511,627,776 bytes"):
        checked_zip(str(tmp_path / "a.zip"))


def test_a_header_of_a_shard_is_bounded(tmp_path: Path) -> None:
    """A sparse file of 1 GB that says it is one long name is not read into memory."""
    header = tarfile.TarInfo("name")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, 1 << 30)
    tracemalloc.start()
    assert read_shard(str(path)).damage == "cut off or damaged: a header of 1,073,741,824 bytes"
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_headers_before_headers_do_not_end_the_run(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("name")
    header.type, header.size = kind, 0
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) * 5000)
    shard = read_shard(str(tmp_path / "a.tar"))
    assert shard.groups == ()
    assert (shard.damage or "").startswith("cut off or damaged")
