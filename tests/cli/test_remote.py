"""`classify` and `merge` with images and outputs on other machines, in fsspec's file system in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clipcli.errors import OutputFailed
from clipcli.images.in_hand import note_path
from clipcli.outputs.open import Output
from clipcli.outputs.remote import local_path, writing

from .conftest import Run

fsspec = pytest.importorskip("fsspec", reason="addresses need fsspec")


@pytest.fixture
def bucket(photos: Path) -> Iterator[Any]:
    """A file system in memory with the photos, and one that is broken."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    for path in photos.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/b/photos/{path.relative_to(photos)}", path.read_bytes())
    memory.pipe_file("/b/photos/broken.jpg", b"broken")
    yield memory
    memory.store.clear()


@pytest.fixture
def given(model: str) -> tuple[Any, ...]:
    return ("classify", "memory://b/photos", "--labels", "cat, dog", "--model", model, "-q")


def test_shards_of_a_bucket_in_a_bucket(run: Run, given: tuple[Any, ...], bucket: Any) -> None:
    assert run(*given, "-o", "here.csv").code == 3
    for n in range(2):
        assert run(*given, "-o", "memory://b/out/p-{shard}.csv", "--shard", f"{n}/2").code in (0, 3)
    assert sorted(bucket.find("/b/out")) == sorted(
        f"/b/out/p-{n}-of-2.csv{suffix}" for n in range(2) for suffix in ("", ".json")
    )
    done = run("merge", "memory://b/out/p-*", "-o", "memory://b/all.csv")
    assert done.code == 3
    assert "memory://b/all.csv: 7 rows of 2 shards" in done.err
    assert bucket.cat_file("/b/all.csv") == Path("here.csv").read_bytes()
    assert run("merge", "memory://b/out/p-0-of-2.csv", "memory://b/out/none.csv", "-o", "x.csv").err == (
        "clipcli: no such part: memory://b/out/none.csv; check the path\n"
    )


def test_an_output_that_is_there_is_kept(run: Run, given: tuple[Any, ...], bucket: Any) -> None:
    assert run(*given, "-o", "memory://b/rows.csv").code == 3
    before = bucket.cat_file("/b/rows.csv")
    done = run(*given, "-o", "memory://b/rows.csv")
    assert (done.code, done.err.split(";")[0]) == (2, "clipcli: memory://b/rows.csv exists")
    assert run(*given[:-1], "-o", "memory://b/rows.csv", "--resume").err.count("complete, an earlier run") == 1
    assert run(*given, "-o", "memory://b/rows.csv", "--overwrite").code == 3
    assert bucket.cat_file("/b/rows.csv") == before
    assert not local_path("memory://b/rows.csv").exists()


def test_a_run_that_was_stopped_goes_on(
    run: Run, given: tuple[Any, ...], bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*given, "--batch-size", 2, "--no-cache", "-o", "here.csv")
    write = Output.write

    def fail_later(self: Output, rows: Any) -> None:
        write(self, rows)
        if self._rows >= 4:
            raise OutputFailed("no more")

    with monkeypatch.context() as patched:
        patched.setattr(Output, "write", fail_later)
        assert run(*given, "--batch-size", 2, "--no-cache", "-o", "memory://b/rows.csv").code == 1
    # An address never has half an output.
    assert not bucket.exists("/b/rows.csv")
    rows = local_path("memory://b/rows.csv")
    assert len(rows.read_bytes().splitlines()) == 5
    done = run(*given, "-o", "memory://b/rows.csv")
    assert (done.code, done.err.split(";")[0]) == (
        2,
        f"clipcli: {rows} has rows that are not at memory://b/rows.csv yet",
    )
    assert run(*given, "--batch-size", 2, "--no-cache", "-o", "memory://b/rows.csv", "--resume").code == 3
    assert bucket.cat_file("/b/rows.csv") == Path("here.csv").read_bytes()
    assert not list(rows.parent.iterdir())


def test_what_cannot_be_written(run: Run, given: tuple[Any, ...], bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(*given, "-o", "https://h/rows.csv").err.startswith("clipcli: https:// is only read; write to a path")
    assert "is a folder; give a file in it" in run(*given, "--format", "csv", "-o", "memory://b/out/").err
    assert "--report memory://b/p.html is an address, and only rows" in run(*given, "--report", "memory://b/p.html").err

    def refuse(*_: object) -> None:
        raise ValueError("quota")

    monkeypatch.setattr(type(bucket), "put_file", refuse)
    done = run(*given, "-o", "memory://b/rows.csv")
    assert done.code == 1
    assert done.err.startswith("clipcli: cannot write memory://b/rows.csv: quota; the rows are in ")
    rows = Path(done.err.partition("rows are in ")[2].partition(", and --resume")[0])
    assert rows.read_text().count("\n") == 8


@pytest.mark.parametrize("is_older_there", [False, True])
def test_rows_that_were_not_copied_are_copied_later(
    run: Run, given: tuple[Any, ...], bucket: Any, monkeypatch: pytest.MonkeyPatch, *, is_older_there: bool
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("quota")

    to, rows = ("-o", "memory://b/rows.csv"), local_path("memory://b/rows.csv")
    if is_older_there:
        run(*given, *to, "--top-k", 1)
    older = bucket.cat_file("/b/rows.csv") if is_older_there else None
    with monkeypatch.context() as patched:
        patched.setattr(type(bucket), "put_file", refuse)
        assert run(*given, *to, *(["--overwrite"] if is_older_there else [])).code == 1
    whole = rows.read_bytes()
    assert whole.count(b"\n") == 8
    if is_older_there:
        assert bucket.cat_file("/b/rows.csv") == older
    done = run(*given, *to, "--resume", "--labels", "fish, bird")
    assert done.code == 2
    assert rows.read_bytes() == whole
    assert run(*given, *to).code == 2
    assert run(*given, *to, "--resume").code == 3
    assert bucket.cat_file("/b/rows.csv") == whole
    assert bucket.exists("/b/rows.csv.json")
    assert not list(rows.parent.iterdir())
    # Nor does a copy of what is complete stay.
    assert run(*given, *to, "--resume").code == 3
    assert not list(rows.parent.iterdir())


def test_a_merge_whose_copy_fails_is_run_again(
    run: Run, given: tuple[Any, ...], bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("quota")

    run(*given, "-o", "0.csv", "--shard", "0/1")
    with monkeypatch.context() as patched:
        patched.setattr(type(bucket), "put_file", refuse)
        assert ", and run this again" in run("merge", "0.csv", "-o", "memory://b/all.csv").err
    assert run("merge", "0.csv", "-o", "memory://b/all.csv").code == 3
    assert bucket.cat_file("/b/all.csv") == Path("0.csv").read_bytes()


def test_parts_that_were_fetched_do_not_stay(run: Run, given: tuple[Any, ...], bucket: Any) -> None:
    part = "memory://b/p.csv"
    run(*given, "-o", part, "--shard", "0/1")
    assert run("merge", part, "-o", "all.csv").code == 3
    assert bucket.exists("/b/p.csv")
    assert not list(local_path(part).parent.iterdir())


def test_one_run_at_a_time_writes_to_an_address(run: Run, given: tuple[Any, ...], bucket: Any) -> None:
    """Also the first one, whose folder in the cache is not there yet."""
    with writing("memory://b/rows.csv"):
        done = run(*given, "-o", "memory://b/rows.csv")
    assert done.code == 2
    assert "is writing memory://b/rows.csv; wait for its end" in done.err
    assert not bucket.exists("/b/rows.csv")


def test_a_decoder_that_ended_a_run_to_an_address_is_known(run: Run, given: tuple[Any, ...], bucket: Any) -> None:
    with writing("memory://b/rows.csv"):
        note = note_path(local_path("memory://b/rows.csv"))
    note.write_bytes(b"memory://b/photos/broken.jpg\0")
    done = run(*given[:-1], "-o", "memory://b/rows.csv", "--resume")
    assert done.code == 3
    assert "while it decoded memory://b/photos/broken.jpg" in " ".join(done.err.split())
    assert bucket.exists("/b/rows.csv")
    assert not note.exists()
