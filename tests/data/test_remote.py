"""Images of other machines: of fsspec's file system in memory, and of an HTTP server on this machine."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_server import serving

from clipcli.data.images import list_images
from clipcli.data.reference import read
from clipcli.errors import ClipcliError, InputNotFound, MissingExtra, UsageError
from clipcli.files import remote
from clipcli.files.remote import check_writable, copy_here, file_system, is_remote, open_remote, read_remote
from clipcli.notices import Notices
from clipcli.records import Span

fsspec = pytest.importorskip("fsspec", reason="addresses need fsspec")


@pytest.fixture
def bucket() -> Iterator[Any]:
    """An empty file system in memory."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield memory
    memory.store.clear()


def tar_of(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_what_is_an_address() -> None:
    assert all(map(is_remote, ["s3://b/a.jpg", "https://h/a.jpg", "hf://datasets/a/b", "memory://a"]))
    assert not any(map(is_remote, ["a.jpg", "/a://b", "c:/a.jpg", "c://a.jpg", "./s3://b", ""]))


def test_a_folder_is_listed_as_on_the_disk(bucket: Any, photos: Path) -> None:
    for path in photos.rglob("*"):
        if path.is_file():
            bucket.pipe_file(f"/b/photos/{path.relative_to(photos)}", path.read_bytes())
    bucket.pipe_file("/b/photos/notes.pdf", b"x")
    bucket.pipe_file("/b/photos/.hidden/a.jpg", b"x")
    notices = Notices()
    found = list_images(["memory://b/photos"], notices=notices)
    here = list_images([str(photos)])
    assert [item.id for item in found] == [item.id.replace(str(photos), "memory:///b/photos") for item in here]
    assert [read(item.reference) for item in found] == [read(item.reference) for item in here]
    said = [event.message for event in notices.events()]
    assert any("1 file is no image, memory:///b/photos/notes.pdf" in message for message in said)
    fitting = list_images(["memory://b/photos/*.jpg"])
    assert [item.id for item in fitting] == ["memory:///b/photos/a.jpg", "memory:///b/photos/d.jpg"]
    assert len(list_images(["memory://b/photos"], exclude=["*.jpg"])) == 3


def test_a_list_and_a_table_of_addresses(bucket: Any, photos: Path, tmp_path: Path) -> None:
    data = (photos / "a.jpg").read_bytes()
    bucket.pipe_file("/b/a.jpg", data)
    bucket.pipe_file("/b/list.txt", b"memory://b/a.jpg\nmemory://b/gone.jpg\n")
    table = tmp_path / "t.csv"
    table.write_text("url,who\nmemory://b/a.jpg,me\n")
    first, second = list_images(["@memory://b/list.txt"])
    [row] = list_images([str(table)], image_column="url", keep=["who"])
    assert (first.id, row.id, row.cells) == ("memory://b/a.jpg", "memory://b/a.jpg", {"who": "me"})
    assert read(first.reference) == read(row.reference) == data
    with pytest.raises(FileNotFoundError):
        read(second.reference)


def test_a_tar_is_read_in_parts(tmp_path: Path, photos: Path) -> None:
    """One image of ten of 200 kB: the headers and that image are sent, not the whole tar."""
    filler = b"\xff" * 200_000
    members = {f"{n}.jpg": filler for n in range(10)} | {"9.png": (photos / "b.png").read_bytes()}
    (tmp_path / "s-0.tar").write_bytes(tar_of(members))
    (tmp_path / "s-1.tar").write_bytes(tar_of(members)[:-4000])
    with serving(tmp_path) as served:
        items = list_images([f"{served.address}/s-0.tar"])
        assert [item.id for item in items] == [f"{served.address}/s-0.tar/{name}" for name in members]
        assert isinstance(items[-1].reference.member, Span)
        assert read(items[-1].reference) == members["9.png"]
        assert served.sent["s-0.tar"] < 500_000
        both = list_images([f"{served.address}/s-{{0..1}}.tar"])
    assert [item.id for item in both[:11]] == [item.id for item in items]
    assert "cut off or damaged" in str(both[-1].reference.member)


def test_a_server_that_sends_files_whole_alone(tmp_path: Path, photos: Path) -> None:
    """An image can be read; a tar cannot, which is a row with the reason."""
    data = (photos / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "s.tar").write_bytes(tar_of({"a.jpg": data}))
    (tmp_path / "large.tar").write_bytes(tar_of({"a.jpg": data, "b.jpg": b"x" * 200_000, "c.jpg": data}))
    with serving(tmp_path, ranges=False) as served:
        [image] = list_images([f"{served.address}/a.jpg"])
        assert read(image.reference) == data
        [row] = list_images([f"{served.address}/s.tar"])
        with pytest.raises(OSError, match="the server sends no parts of files; copy the file here"):
            read(row.reference)
        *_, large = list_images([f"{served.address}/large.tar"])
        assert "support range requests" in str(large.reference.member)
        [gone] = list_images([f"{served.address}/gone.jpg"])
        with pytest.raises(FileNotFoundError):
            read(gone.reference)
    with pytest.raises(OSError, match="annot connect"):
        read(image.reference)


REFUSED = [
    ("memory://b/none", InputNotFound, "no such image, folder or shard: memory://b/none; check the address"),
    ("memory://b/*.jpg", InputNotFound, "nothing matches memory://b/*.jpg; check the pattern"),
    ("memory://b/t.parquet", InputNotFound, "memory://b/t.parquet is not read from afar; copy it here"),
    ("memory://b/a.tar.gz", InputNotFound, "memory://b/a.tar.gz is not read from afar"),
    ("nope://b/photos", UsageError, "nope:// is no address that can be read; give a path, or one of s3://"),
]


@pytest.mark.parametrize(("address", "error", "message"), REFUSED)
def test_addresses_that_cannot_be_read(bucket: Any, address: str, error: type[ClipcliError], message: str) -> None:
    assert not bucket.store
    with pytest.raises(error) as raised:
        list_images([address])
    assert str(raised.value).startswith(message)


def test_what_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    with pytest.raises(MissingExtra, match=r"^s3:// needs s3fs; run pip install s3fs$"):
        file_system("s3://a-bucket-of-no-one/a.jpg")


def test_the_web_is_only_read() -> None:
    with pytest.raises(UsageError, match=r"^https:// is only read; write to a path, or to an s3://"):
        check_writable("https://h/rows.csv")


@pytest.mark.parametrize("kind", ["file", "local"])
def test_a_device_at_an_address_is_no_image(kind: str, tmp_path: Path) -> None:
    """Reading it would fill the memory."""
    (tmp_path / "a b.jpg").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    assert read_remote(f"{kind}://{tmp_path}/a b.jpg") == b"x"
    for opened in (read_remote, open_remote):
        with pytest.raises(OSError, match="not a file"):
            opened(f"{kind}://{tmp_path}/pipe")


def test_no_more_is_read_of_a_whole_file_than_an_image_may_have(
    tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may send without end, and a bucket hold anything."""
    pytest.importorskip("aiohttp", reason="https:// needs aiohttp")
    (tmp_path / "a.jpg").write_bytes(bytes(3 << 20))
    bucket.pipe_file("/b/a.jpg", bytes(3 << 20))
    with serving(tmp_path) as served:
        for address in (f"{served.address}/a.jpg", "memory://b/a.jpg", f"file://{tmp_path}/a.jpg"):
            for most in ((3 << 20) + 1, 3 << 20):
                monkeypatch.setattr(remote, "_MOST_WHOLE", most)
                assert read_remote(address) == bytes(3 << 20)
            for most in (1 << 20, (3 << 20) - 1):
                monkeypatch.setattr(remote, "_MOST_WHOLE", most)
                with pytest.raises(OSError, match="copy it here"):
                    read_remote(address)


def test_an_output_of_any_size_is_copied(tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.pipe_file("/b/rows.csv", bytes(3 << 20))
    monkeypatch.setattr(remote, "_MOST_WHOLE", 1 << 20)
    copy_here("memory://b/rows.csv", tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_bytes() == bytes(3 << 20)
    with pytest.raises(OSError, match="other"):
        copy_here("memory://b/other.csv", tmp_path / "rows.csv")
