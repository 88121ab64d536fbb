"""Image embeddings of earlier runs: which are found again, and what is kept of those that were read."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from small_data import in_memory

from clipcli.data.reference import digest_of, no_image
from clipcli.memory.cache import Cache
from clipcli.memory.contents import contents_of
from clipcli.memory.images import ImageStore
from clipcli.memory.memory import Memory
from clipcli.memory.models import ModelFacts
from clipcli.records import Cell, ImageItem, Reference, Remembered, Skipped, Span

FACTS = ModelFacts(
    name="m",
    fingerprint="fingerprint",
    device="cpu",
    precision="fp32",
    runtime="",
    details="",
    dimensions=4,
    preprocessing="preprocessing",
    logit_scale=1.0,
    logit_bias=None,
    score="softmax",
    weights="",
    files=(),
)
ROW = np.arange(4, dtype=np.float32)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache, in a folder with one file to look at."""
    monkeypatch.chdir(tmp_path)
    Path("a.zip").write_bytes(b"content")
    return Cache(tmp_path / "cache.sqlite")


def kept(cache: Cache, item: ImageItem, digest: bytes | None) -> bool:
    """Look an image up, keep an embedding of it, and look it up again: it may be there then."""
    store = ImageStore(Memory(cache), FACTS, made_with=("exact",), verify=False)
    assert list(store.look_up([item])) == [item]
    read = ImageItem(item.id, item.reference, digest=digest)
    store.keep((Skipped(in_memory("bad"), "truncated"), read), ROW[None])
    [found] = store.look_up([item])
    return isinstance(found, Remembered)


@pytest.mark.parametrize(
    ("item", "inside"),
    [
        (ImageItem("a.zip", Reference("file", "a.zip")), ""),
        (ImageItem("a.zip/in/b.jpg", Reference("zip", "a.zip", "in/b.jpg")), "/in/b.jpg"),
        (ImageItem("a.zip/c.jpg", Reference("span", "a.zip", Span(0, 3))), "/c.jpg"),
        (ImageItem("a.zip row 3", Reference("cell", "a.zip", Cell(0, 2, "image"))), " row 3"),
    ],
)
def test_keys_and_values_stay_as_they_are(cache: Cache, item: ImageItem, inside: str) -> None:
    """A cache that an earlier version filled holds: the key is a hash of the path, the size and the time."""
    assert kept(cache, item, digest_of(b"content"))
    stat = os.stat("a.zip")
    made_by = json.dumps(["image/4", "fingerprint", "preprocessing", "fp32", "exact"])
    content = f"{made_by}\0{os.path.abspath('a.zip')}{inside}\0{stat.st_size}\0{stat.st_mtime_ns}"
    key = hashlib.blake2b(content.encode(), digest_size=20).hexdigest()
    digest = hashlib.blake2b(b"content", digest_size=16).digest()
    state = struct.pack("<QQQ", stat.st_ctime_ns, stat.st_ino, stat.st_dev)
    assert cache.get_bytes([key]) == {key: digest + state + ROW.tobytes()}


@pytest.mark.parametrize(
    "reference",
    [
        Reference("bytes", member=b"content"),
        no_image("no image path"),
        Reference("file", "gone.jpg"),
        Reference("cell or file", "a.zip", Cell(0, 0, "image")),
    ],
)
def test_what_lies_in_no_file_that_it_changes_with_is_not_kept(cache: Cache, reference: Reference) -> None:
    assert not kept(cache, ImageItem("x", reference), digest_of(b"content"))


def test_what_was_not_hashed_is_not_kept(cache: Cache) -> None:
    item = ImageItem("a.zip", Reference("file", "a.zip"))
    assert not kept(cache, item, None)


def test_a_name_of_its_own_is_another_image(cache: Cache) -> None:
    """A table may name an image of a zip by another path than the zip's."""
    assert kept(cache, ImageItem("b.jpg", Reference("zip", "a.zip", "b.jpg")), digest_of(b""))
    store = ImageStore(Memory(cache), FACTS, made_with=("exact",), verify=False)
    other = ImageItem("a.zip/b.jpg", Reference("zip", "a.zip", "b.jpg"))
    assert list(store.look_up([other])) == [other]


def test_an_image_that_changes_while_it_is_read_is_kept_as_it_was(cache: Cache) -> None:
    item = ImageItem("a.zip", Reference("file", "a.zip"))
    store = ImageStore(Memory(cache), FACTS, made_with=("exact",), verify=False)
    list(store.look_up([item]))
    Path("a.zip").write_bytes(b"changed meanwhile")
    store.keep((ImageItem("a.zip", item.reference, digest=digest_of(b"content")),), ROW[None])
    assert list(store.look_up([item])) == [item]


def read_again(cache: Cache, item: ImageItem) -> bool:
    """True if an image that is looked up in a new run must be encoded."""
    store = ImageStore(Memory(cache), FACTS, made_with=("exact",), verify=False)
    return not isinstance(next(store.look_up([item])), Remembered)


def test_a_file_that_was_moved_or_copied_is_known_by_its_content(cache: Cache) -> None:
    assert kept(cache, ImageItem("a.zip", Reference("file", "a.zip")), digest_of(b"content"))
    Path("b.zip").write_bytes(b"content")
    os.rename("a.zip", "c.zip")
    for name in ("b.zip", "c.zip"):
        store = ImageStore(Memory(cache), FACTS, made_with=("exact",), verify=False)
        [found] = store.look_up([ImageItem(name, Reference("file", name))])
        assert isinstance(found, Remembered)
        np.testing.assert_array_equal(found.embeddings[0], ROW)
    memory = Memory(cache)
    assert contents_of(["a.zip", "b.zip", "c.zip", "d.zip"], memory=memory) == dict.fromkeys(
        ("a.zip", "b.zip", "c.zip"), digest_of(b"content")
    )


def test_other_content_of_the_same_size_is_another_image(cache: Cache) -> None:
    assert kept(cache, ImageItem("a.zip", Reference("file", "a.zip")), digest_of(b"content"))
    Path("b.zip").write_bytes(b"CONTENT")
    assert read_again(cache, ImageItem("b.zip", Reference("file", "b.zip")))


def test_content_of_another_model_is_not_taken(cache: Cache) -> None:
    assert kept(cache, ImageItem("a.zip", Reference("file", "a.zip")), digest_of(b"content"))
    os.rename("a.zip", "b.zip")
    store = ImageStore(Memory(cache), FACTS, made_with=("fast",), verify=False)
    [found] = store.look_up([ImageItem("b.zip", Reference("file", "b.zip"))])
    assert not isinstance(found, Remembered)


def test_only_files_of_a_size_that_an_earlier_run_met_are_read(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the files of a first run, though many have the same size, nor those of a new size."""
    read: list[str] = []
    monkeypatch.setattr("clipcli.memory.images.read", lambda reference: read.append(reference.path) or b"content")
    store = ImageStore(Memory(cache), FACTS, made_with=("exact",), verify=False)
    for n in range(100):
        Path(f"{n}.jpg").write_bytes(b"of a size")
    items = [ImageItem(f"{n}.jpg", Reference("file", f"{n}.jpg"), digest=bytes([n] * 16)) for n in range(100)]
    for found in store.look_up(items):
        store.keep((found,), ROW[None])
    for item in items:
        store.keep((item,), ROW[None])
    assert read == []
    Path("longer.jpg").write_bytes(b"of another size")
    Path("same.jpg").write_bytes(b"of a SIZE")
    assert read_again(cache, ImageItem("longer.jpg", Reference("file", "longer.jpg")))
    assert read == []
    assert read_again(cache, ImageItem("same.jpg", Reference("file", "same.jpg")))
    assert read == ["same.jpg"]
