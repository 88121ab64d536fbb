"""Examples of retrieval are those of before and after, and are shown with their thumbnails."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from clipcli.commands.train.examples import AFTER, BEFORE, EXAMPLES_FILE, examples_section, write_examples
from clipcli.commands.train.validation import Nearest
from clipcli.records import ImageItem, Reference
from clipcli.report import Gallery


def example(folder: Path, *, rank: int, nearest: str = "a cat") -> Nearest:
    Image.new("RGB", (300, 200), "navy").save(folder / "dog.jpg")
    item = ImageItem(str(folder / "dog.jpg"), Reference("file", str(folder / "dog.jpg")))
    return Nearest(item, "a dog", nearest, rank)


def captions(run: Path) -> list[str]:
    [section] = examples_section(run)
    assert isinstance(section, Gallery)
    assert all(str(one.image).startswith("data:image/jpeg") for one in section.groups[0].thumbnails)
    return [f"{one.caption} {one.source}" for one in section.groups[0].thumbnails]


def test_before_and_after(tmp_path: Path) -> None:
    assert examples_section(tmp_path) == []
    write_examples(tmp_path, [example(tmp_path, rank=3)], when=BEFORE)
    assert captions(tmp_path) == ["“a dog” Before: rank 3, behind “a cat”. dog.jpg"]
    found = example(tmp_path, rank=1, nearest="a dog")
    write_examples(tmp_path, [found], when=AFTER)
    assert captions(tmp_path) == ["“a dog” Before: rank 3, behind “a cat”. After: found. dog.jpg"]
    write_examples(tmp_path, [found], when=BEFORE)
    assert captions(tmp_path) == ["“a dog” Before: found. dog.jpg"]


def test_nothing_found_writes_nothing(tmp_path: Path) -> None:
    write_examples(tmp_path, [], when=BEFORE)
    assert not (tmp_path / EXAMPLES_FILE).exists()
