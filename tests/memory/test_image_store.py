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
    made_by = json.dumps(["image/2", "fingerprint", "preprocessing", "fp32", "exact"])
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
