"""Every kind of reference is read here, and from a pickle in another process."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipcli.data.reference import READERS, NoImage, digest_of, no_image, open_zip, read, sequential_reader
from clipcli.images.decode import read_pixels
from clipcli.records import Cell, ImageItem, Reference, Skipped, Span


def a_file(folder: Path) -> Reference:
    (folder / "a.jpg").write_bytes(b"file")
    return Reference("file", str(folder / "a.jpg"))


def a_zip(folder: Path) -> Reference:
    with zipfile.ZipFile(folder / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/a.jpg", "zip")
    return Reference("zip", str(folder / "d.zip"), "in/a.jpg")


def a_span(folder: Path) -> Reference:
    (folder / "s.tar").write_bytes(b"12span34")
    return Reference("span", str(folder / "s.tar"), Span(2, 4))


def a_cell(folder: Path) -> Reference:
    pq.write_table(pa.table({"image": [b"", b"", b"cell"]}), folder / "t.parquet", row_group_size=2)
    return Reference("cell", str(folder / "t.parquet"), Cell(1, 0, "image"))


def a_cell_or_file(folder: Path) -> Reference:
    (folder / "b.jpg").write_bytes(b"cell or file")
    pq.write_table(pa.table({"image": [{"bytes": None, "path": "b.jpg"}]}), folder / "p.parquet")
    return Reference("cell or file", str(folder / "p.parquet"), Cell(0, 0, "image"))


def some_bytes(_: Path) -> Reference:
    return Reference("bytes", member=b"bytes")


MADE: dict[str, Callable[[Path], Reference]] = {
    "file": a_file,
    "zip": a_zip,
    "span": a_span,
    "cell": a_cell,
    "cell or file": a_cell_or_file,
    "bytes": some_bytes,
}


def test_every_kind_is_tried() -> None:
    assert MADE.keys() == READERS.keys() - {"nothing"}


@pytest.mark.parametrize("kind", MADE)
def test_a_reference_is_read_here_and_from_a_pickle_elsewhere(kind: str, tmp_path: Path) -> None:
    reference = MADE[kind](tmp_path)
    item = ImageItem("x", reference, {"split": "val"})
    again = pickle.loads(pickle.dumps(item))
    assert (again, again.cells) == (item, {"split": "val"})
    assert read(again.reference) == kind.encode()
    code = (
        "import pickle, sys; from clipcli.data.reference import read\n"
        "sys.stdout.buffer.write(read(pickle.load(sys.stdin.buffer).reference))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(item), capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (kind.encode(), b"")


@pytest.mark.parametrize("kind", [*MADE, "nothing"])
def test_an_image_lies_in_the_file_that_it_changes_with(kind: str, tmp_path: Path) -> None:
    reference = no_image("no image path") if kind == "nothing" else MADE[kind](tmp_path)
    alone = kind in ("bytes", "nothing", "cell or file")
    assert ImageItem("x", reference).file == (None if alone else reference.path)


def test_nothing_says_why() -> None:
    with pytest.raises(NoImage, match=r"^no image path$"):
        read(no_image("no image path"))
    item = ImageItem("t.csv line 2", no_image("no image path"))
    assert read_pixels(item, lambda image: image) == Skipped(item, "no image path")


def test_processes_that_were_forked_read_one_zip_at_once(tmp_path: Path) -> None:
    contents = {f"{n}.jpg": os.urandom(50_000) for n in range(40)}
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    references = [Reference("zip", str(tmp_path / "d.zip"), name) for name in contents]
    assert read(references[0]) == contents["0.jpg"]
    code = (
        "import multiprocessing, pickle, sys; from clipcli.data.reference import digest_of, read\n"
        "references = pickle.load(sys.stdin.buffer); read(references[0])\n"
        "def digest(reference): return digest_of(read(reference))\n"
        "with multiprocessing.get_context('fork').Pool(3) as pool: digests = pool.map(digest, references * 3, 1)\n"
        "sys.stdout.buffer.write(b''.join(digests))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(references), capture_output=True, timeout=60)
    assert done.stdout == b"".join(map(digest_of, contents.values())) * 3, done.stderr.decode()


def test_a_digest_is_blake2b_of_16_bytes() -> None:
    # As `b2sum -l 128` has it: image embeddings of earlier runs are found by it.
    assert digest_of(b"cat").hex() == "4321c228dc684ef30fe2db60117c005d"


def test_threads_share_an_open_zip_and_few_zips_stay_open(tmp_path: Path) -> None:
    references = []
    for n in range(20):
        with zipfile.ZipFile(tmp_path / f"{n}.zip", "w") as archive:
            for m in range(20):
                archive.writestr(f"{m}.jpg", f"{n} {m}" * 1000)
        references += [Reference("zip", str(tmp_path / f"{n}.zip"), f"{m}.jpg") for m in range(20)]
    before = len(os.listdir("/dev/fd"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, references[::7] + references))
    assert found == [f"{n} {m}".encode() * 1000 for n, m in [divmod(k, 20) for k in [*range(0, 400, 7), *range(400)]]]
    assert len(os.listdir("/dev/fd")) <= before + 8
    assert open_zip(str(tmp_path / "19.zip")) is open_zip(str(tmp_path / "19.zip"))


def test_a_zip_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    reference = a_zip(tmp_path)
    assert read(reference) == b"zip"
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        archive.writestr("in/a.jpg", "another")
    os.replace(tmp_path / "new.zip", tmp_path / "d.zip")
    assert read(reference) == b"another"
    with pytest.raises(OSError, match=r"d\.zip has changed since it was listed: it holds no gone\.jpg$"):
        read(Reference("zip", reference.path, "gone.jpg"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match=r"^not a file: .*pipe\.jpg$"):
        read(Reference("file", str(tmp_path / "pipe.jpg")))


def test_a_shard_that_is_read_on_is_opened_once_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("empty"), io.BytesIO())
    opened: list[str] = []

    def counted(path: str) -> object:
        opened.append(path)
        return open(path, "rb")

    monkeypatch.setattr("clipcli.data.reference.open_bytes", counted)
    before = os.listdir("/dev/fd")
    with sequential_reader() as read_next:
        for name in "aab":
            assert read_next(Reference("span", str(tmp_path / f"{name}.tar"), Span(0, 5))) == b"empty"
        assert read_next(Reference("bytes", member=b"other")) == b"other"
    assert opened == [str(tmp_path / f"{name}.tar") for name in "ab"]
    assert len(os.listdir("/dev/fd")) == len(before)
