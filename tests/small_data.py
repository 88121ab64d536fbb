"""Small labelled data of several kinds, to read in tests."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from clipcli.data.columns import Columns
from clipcli.data.labelled import LabelledData, read_labelled
from clipcli.data.reference import read as read_bytes
from clipcli.data.tree import Data
from clipcli.records import ImageItem, Reference

ANY = Columns()
CLASSES = ("bear", "cat", "cow", "dog", "red_fox", "yak")
FP32 = {"precision": "fp32", "device": "cpu"}


def in_memory(name: str, data: bytes = b"") -> ImageItem:
    """An image of these bytes."""
    return ImageItem(name, Reference("bytes", member=data))


def captioned_colours(colours: Sequence[tuple[int, ...]]) -> dict[str, bytes]:
    """Files by name: an image of one colour each, with the colour for a caption."""
    files = {}
    for n, colour in enumerate(colours):
        content = io.BytesIO()
        Image.new("RGB", (9, 9), colour).save(content, "png")
        files |= {f"{n:03}.png": content.getvalue(), f"{n:03}.txt": str(colour).encode()}
    return files


def colours_in_threads(items: Sequence[ImageItem]) -> list[object]:
    """The colour in the middle of each image, read by several threads."""
    with ThreadPoolExecutor(8) as pool:
        contents = pool.map(lambda item: read_bytes(item.reference), items)
        return [Image.open(io.BytesIO(data)).getpixel((4, 4)) for data in contents]


def jpeg(seed: int = 0) -> bytes:
    """A small photo."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def zipped(tree: Path, target: Path, *, prefix: str = "", extra: dict[str, str] | None = None) -> Path:
    """The tree in a zip, below a folder, with more files at its root."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(tree.rglob("*.jpg")):
            archive.write(path, f"{prefix}{path.relative_to(tree)}")
        for name, text in (extra or {}).items():
            archive.writestr(name, text)
    return target


def sharded(target: Path, members: dict[str, bytes]) -> Path:
    """A shard of these members."""
    with tarfile.open(target, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target


def read(path: object, columns: Columns = ANY) -> LabelledData:
    """The DATA at the path."""
    return read_labelled(Data(str(path)), columns)


def grown(folder: Path) -> Path:
    """A tree of three classes with two images each."""
    for label in ("grey wolf", "red_fox", "yak"):
        (folder / label).mkdir(parents=True)
        for n in range(2):
            (folder / label / f"{n}.jpg").write_bytes(jpeg(n))
    return folder


def photograph(folder: Path, *, seed: int, images_per_class: int = 4) -> Path:
    """A tree of six classes, each with a colour of its own."""
    rng = np.random.default_rng(seed)
    for n, label in enumerate(CLASSES):
        (folder / label).mkdir(parents=True)
        for m in range(images_per_class):
            colour = np.array([40 * n, 250 - 40 * n, 128]) + rng.integers(-60, 60, (36, 40, 3))
            Image.fromarray(colour.clip(0, 255).astype(np.uint8)).save(folder / label / f"{m}.png")
    return folder


def noisy_pairs(folder: Path, count: int) -> Path:
    """The folder with so many images of noise, each with a caption beside it."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for n in range(count):
        Image.fromarray(rng.integers(0, 255, (50, 60, 3), dtype=np.uint8)).save(folder / f"{n}.png")
        (folder / f"{n}.txt").write_text(f"thing {n}\n")
    return folder
