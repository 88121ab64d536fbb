"""Images decoded in worker processes: the same pixels, and what hangs or dies costs its own image alone."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcli.backbones.preprocessing import Preprocessing
from clipcli.errors import ClipcliError
from clipcli.images import isolate, worker
from clipcli.images.batches import batches_for_each
from clipcli.images.decode import attempt, decode
from clipcli.images.house import HOUSE
from clipcli.images.isolate import Isolated
from clipcli.images.limits import Limits
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.threads import DecodeThreads
from clipcli.images.wanted import Wanted, reading
from clipcli.notices import Notices, unsaid
from clipcli.offline import offline
from clipcli.records import Frame, Held, ImageItem, Reference, Skipped, Span

WAY = Preprocessing(
    size=(32, 32),
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
    interpolation="bicubic",
    resize_mode="shortest",
    fill_color=0,
)


pytestmark = pytest.mark.usefixtures("workers")


@pytest.fixture
def isolated() -> Iterator[Isolated]:
    limits = Limits(isolate=True, seconds=60.0, memory=200 << 20)
    made = Isolated(Wanted(ways=(WAY,), digests=True, limits=limits))
    yield made
    made.close()


def in_memory(data: bytes, name: str = "x") -> ImageItem:
    return ImageItem(name, Reference("bytes", member=data))


def photo(seed: int = 0, format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, format)
    return stream.getvalue()


def test_pixels_hashes_and_notes_are_those_of_this_process(isolated: Isolated, tmp_path: Path) -> None:
    narrow = io.BytesIO()
    Image.fromarray(np.linspace(0, 4095, 900).reshape(30, 30).astype("<u2")).save(narrow, "TIFF")
    file = tmp_path / os.fsdecode(b'\xff\n".jpg')
    file.write_bytes(photo(1, "JPEG"))
    items = [in_memory(photo()), in_memory(narrow.getvalue()), ImageItem("f", Reference("file", str(file)))]
    here, there = Notices(), Notices()
    read = reading(Wanted(ways=(WAY,), digests=True).look(), watch=Stopwatch())
    for item in items:
        ours, theirs = read(item, here.about("a")), isolated.pixels(item, there.about("a"))
        assert not isinstance(ours, Skipped)
        assert not isinstance(theirs, Skipped)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1] is not None
    said = [event.message for event in there.events()]
    assert said == [event.message for event in here.events()]
    assert len(said) == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (b"SEGFAULT", "its decoder died by SIGSEGV, a fault in its code"),
        (b"ABORTING", "its decoder died by SIGABRT"),
        (b"EXITEXIT", "its decoder ended the worker process"),
        (b"EATMEMRY", "needs more memory than it may have"),
        (b"nonsense", "not an image"),
    ],
)
def test_what_dies_costs_its_own_image(kind: bytes, reason: str, isolated: Isolated) -> None:
    for _ in range(2):
        assert isolated.pixels(in_memory(kind)) == Skipped(in_memory(kind), reason)
        assert not isinstance(isolated.pixels(in_memory(photo())), Skipped)


def test_what_hangs_is_given_up() -> None:
    limits = Limits(isolate=True, seconds=0.3)
    isolated = Isolated(Wanted(ways=(WAY,), limits=limits))
    found = isolated.pixels(in_memory(b"HANGHANG"))
    isolated.close()
    assert found == Skipped(in_memory(b"HANGHANG"), "not decoded after 0.3 s, and given up")


def test_a_read_that_hangs_is_given_up_too(tmp_path: Path) -> None:
    """A named pipe in a shard's place stands in for a mount that does not answer."""
    os.mkfifo(tmp_path / "pipe")
    isolated = Isolated(Wanted(ways=(WAY,), limits=Limits(isolate=True, seconds=0.3)))
    item = ImageItem("x", Reference("span", str(tmp_path / "pipe"), Span(0, 8)))
    found = isolated.pixels(item)
    isolated.close()
    assert found == Skipped(item, "not decoded after 0.3 s, and given up")


def test_an_image_before_is_not_blamed_on_the_next(isolated: Isolated) -> None:
    """What harms its worker without ending it would have the next image skipped."""
    assert not isinstance(isolated.pixels(in_memory(b"POISONED")), Skipped)
    assert not isinstance(isolated.pixels(in_memory(b"POISONED")), Skipped)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process has loaded")
def test_workers_load_no_torch(isolated: Isolated) -> None:
    """It would take seconds to start them."""
    isolated.pixels(in_memory(photo()))
    [worker_id] = isolated.workers
    assert "libtorch" not in Path(f"/proc/{worker_id}/maps").read_text()


def test_batches_keep_their_order(isolated: Isolated) -> None:
    datas = [photo(n) for n in range(6)]
    items = [in_memory(data, str(n)) for n, data in enumerate(datas)]
    items[2] = in_memory(b"SEGFAULT", "2")
    found = batches_for_each(1, items, read=isolated.pixels, batch_size=4, threads=DecodeThreads(2))
    entries = [entry for (batch,) in found for entry in batch.entries]
    assert [e.item.id if isinstance(e, Skipped) else e.id for e in entries] == list("012345")
    assert [isinstance(entry, Skipped) for entry in entries] == [False, False, True, False, False, False]


def test_the_whole_image_is_given_to_what_uses_it() -> None:
    isolated = Isolated(Wanted(limits=Limits(isolate=True)))
    item = in_memory(photo())
    try:
        here, there = attempt(item, decode), isolated.attempt(item, decode)
        held = Held(Image.new("RGB", (3, 2)))
        assert isolated.attempt(ImageItem("h", Reference("held", member=held)), lambda data: data) is held
        assert isinstance(isolated.attempt(item, lambda _: 1 / 0), Skipped)
    finally:
        isolated.close()
    assert isinstance(here, Image.Image)
    assert isinstance(there, Image.Image)
    np.testing.assert_array_equal(np.asarray(here), np.asarray(there))


def test_frames_are_counted_there() -> None:
    isolated = Isolated(Wanted(limits=Limits(isolate=True)))
    stream = io.BytesIO()
    frames = [Image.new("L", (4, 4), grey) for grey in (0, 90, 200)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    item = in_memory(stream.getvalue())
    last = ImageItem("x", Reference("bytes", member=stream.getvalue(), frame=Frame(2, 3)))
    try:
        assert isolated.count(item) == 3
        found = isolated.pixels(last)
    finally:
        isolated.close()
    assert not isinstance(found, Skipped)
    assert int(found[0][0].max()) == 200


@pytest.mark.parametrize(
    "head",
    [
        b"{}",
        b"[]",
        b"nonsense",
        b'{"shapes": [[1, 1, 3]], "digest": null, "notes": []}',
        b'{"shapes": [[32, 32, 3]], "digest": null, "notes": []}',
        b'{"shapes": [[Infinity, 1, 3]], "digest": null, "notes": []}',
    ],
)
def test_an_answer_that_makes_no_sense_is_no_image(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may have been taken over by what it decoded: nothing that it says is run."""
    isolated = Isolated(Wanted(ways=(WAY,), limits=Limits(isolate=True)))

    class Liar:
        done, id = 0, 0

        def ask(self, _: bytes, *, most: int, **__: float) -> object:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                worker.send(theirs, head, b"\0" * 12)
                try:
                    return worker.receive_answer(ours, most=most, remaining=lambda: 5.0)
                except ValueError:
                    raise isolate._Died("no answer") from None

        def end(self) -> None:
            pass

    monkeypatch.setattr(isolated, "_worker", Liar)
    assert isinstance(isolated.pixels(in_memory(b"x"), unsaid), Skipped)


def test_paths_are_those_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder may change once workers are there."""
    isolated = Isolated(Wanted(ways=(WAY,), limits=Limits(isolate=True)))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(photo())
        monkeypatch.chdir(tmp_path / name)
        assert not isinstance(isolated.pixels(ImageItem("x", Reference("file", f"{name}.png"))), Skipped)
    isolated.close()


def test_an_address_is_no_path(tmp_path: Path, isolated: Isolated) -> None:
    pytest.importorskip("fsspec", reason="addresses need fsspec")
    (tmp_path / "a.png").write_bytes(photo())
    item = ImageItem("x", Reference("file", f"file://{tmp_path}/a.png"))
    assert not isinstance(isolated.pixels(item), Skipped)


def test_a_worker_that_closes_its_socket_and_lives_is_not_waited_for(isolated: Isolated) -> None:
    found = isolated.pixels(in_memory(b"GOESDEAF"))
    assert found == Skipped(in_memory(b"GOESDEAF"), "its decoder died by SIGKILL, as for want of memory")


def test_a_worker_that_says_too_much_is_not_waited_for(isolated: Isolated, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(isolated.pixels(in_memory(photo())), Skipped)
    monkeypatch.setattr(Isolated, "_most", 1)
    item = in_memory(photo())
    assert isolated.pixels(item) == Skipped(item, "its decoder gave an answer that makes no sense")


def test_a_worker_that_dies_at_its_start_ends_the_run() -> None:
    made = Isolated(Wanted(ways=(WAY,), limits=Limits(isolate=True)))
    made._first = b"no pickle"
    HOUSE.prepare()
    open_before = len(os.listdir("/dev/fd"))
    with pytest.raises(
        ClipcliError, match="cannot be started: its decoder ended the worker process; leave out --isolate"
    ):
        made.pixels(in_memory(photo()))
    assert len(os.listdir("/dev/fd")) == open_before


def test_threads_whose_house_has_died_raise_one_error(isolated: Isolated) -> None:
    assert not isinstance(isolated.pixels(in_memory(photo())), Skipped)
    [number] = isolated.workers
    assert HOUSE._process is not None
    HOUSE._process.kill()
    for _ in range(2):
        with pytest.raises(ClipcliError, match="the process that starts them has ended"):
            HOUSE.how_it_ended(number)


def test_workers_that_are_there_become_offline(isolated: Isolated) -> None:
    pytest.importorskip("aiohttp", reason="https:// needs aiohttp")
    item = ImageItem("x", Reference("file", "http://127.0.0.1:9/a.jpg"))
    assert not isinstance(isolated.pixels(in_memory(photo())), Skipped)
    for on in (True, False):
        with offline(on):
            found = isolated.pixels(item)
        assert isinstance(found, Skipped)
        assert ("--offline is set" in found.reason) == on
