"""Disks that are really full, a tmpfs of few pages: one line says it, and once there is room the run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import Ended, Faulty

PAGE = 4096
FULL = ("No space left on device", "as on a full disk")


@dataclass(frozen=True)
class Disk:
    """A disk of its own with a file that takes all room but a few pages."""

    folder: Path

    def leave(self, pages: int) -> None:
        """Empty the disk, and fill it but for so many pages."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.fill(pages)

    def fill(self, pages: int) -> None:
        """Take all room but so many pages."""
        found = os.statvfs(self.folder)
        (self.folder / "filler").write_bytes(bytes(max(0, found.f_bavail - pages) * PAGE))

    def free(self) -> None:
        """Make room."""
        (self.folder / "filler").unlink()


@pytest.fixture
def disk(faulty: Faulty) -> Iterator[Disk]:
    """A disk of 96 MB in the folder `small`."""
    folder = faulty.folder / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m,mode=777", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if done is None or done.returncode:
        pytest.skip(f"a disk of its own cannot be mounted here: {done.stderr.strip() if done else 'there is no mount'}")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def says_it_in_a_line(ended: Ended) -> None:
    """One line of what a run says tells that the disk is full."""
    assert "Traceback" not in ended.said
    assert ended.code == 1, ended.said
    assert sum(any(one in line for one in FULL) for line in ended.said.splitlines()) == 1, ended.said


def pages(rounds: int, *few: int, most: int) -> list[int]:
    """How many pages to leave: a few numbers, or in long rounds all of them."""
    return list(few) if rounds == 1 else list(range(most))


def test_rows(faulty: Faulty, classify: list[object], disk: Disk, rounds: int) -> None:
    command = [*classify[:-1], "small/out.csv"]
    assert faulty(*command).code == 3
    rows, failed = (disk.folder / "out.csv").read_bytes(), 0
    for left in pages(rounds, 0, 1, 3, most=8):
        disk.leave(left)
        ended = faulty(*command)
        if ended.code != 3:
            says_it_in_a_line(ended)
            failed += 1
        disk.free()
        assert faulty(*command, "--resume").code == 3
        assert (disk.folder / "out.csv").read_bytes() == rows
        assert {path.name for path in disk.folder.iterdir()} == {"out.csv", "out.csv.json"}
    assert failed


def test_an_update(faulty: Faulty, classify: list[object], disk: Disk, rounds: int) -> None:
    """The former output is left as it was."""
    command, output, failed = [*classify[:-1], "small/out.csv", "--update"], disk.folder / "out.csv", 0
    for left in pages(rounds, 0, 1, most=6):
        disk.leave(1 << 20)
        (faulty.folder / "photos" / "new.png").unlink(missing_ok=True)
        assert faulty(*command).code == 3
        former = output.read_bytes()
        shutil.copy(faulty.folder / "photos" / "00.png", faulty.folder / "photos" / "new.png")
        disk.fill(left)
        ended = faulty(*command)
        if ended.code != 3:
            says_it_in_a_line(ended)
            failed += 1
            assert output.read_bytes() == former
        disk.free()
        assert faulty(*command).code == 3
        assert output.read_bytes().count(b"\n") == former.count(b"\n") + 1
    assert failed


def test_the_cache(faulty: Faulty, classify: list[object], disk: Disk, rounds: int) -> None:
    """A run goes on without a cache that cannot be written, says so once, and the next one has it."""
    assert faulty(*classify).code == 3
    rows, said = (faulty.folder / "rows" / "out.csv").read_bytes(), 0
    faulty.environment["CLIPCLI_CACHE"] = str(disk.folder / "cache")
    for left in pages(rounds, 0, 12, most=40):
        disk.leave(left)
        for full in (True, False):
            shutil.rmtree(faulty.folder / "rows")
            (faulty.folder / "rows").mkdir()
            ended = faulty(*classify)
            assert ended.code == 3, ended.said
            times = ended.said.count("going on without it")
            # The cache may fit into the last of the pages.
            assert times == 1 if full and not left else times <= full
            said += times
            assert (faulty.folder / "rows" / "out.csv").read_bytes() == rows
            if full:
                disk.free()
    assert said


def test_train(faulty: Faulty, models: dict[str, Path], disk: Disk, rounds: int) -> None:
    """What is learned from the last checkpoint on, or anew, is what a run learns that has room."""
    (faulty.folder / "photos" / "05 bad.png").unlink()
    for photo in (faulty.folder / "photos").glob("*.png"):
        photo.with_suffix(".txt").write_text(f"a thing of kind {photo.stem}\n")
    start: list[object] = ["train", "photos", "--output", "small/run", "--model", models["resnet"], "--device", "cpu"]
    start += ["--precision", "fp32", "--steps", 4, "--batch-size", 4, "--lr", "1e-3", "--save-every", 2]
    weights = disk.folder / "run" / "open_clip_model.safetensors"
    whole = faulty(*start)
    assert whole.code in (0, 3), whole.said
    # The header is written in any order, and the numbers are at the end.
    learned, failed = weights.read_bytes()[-(1 << 20) :], 0
    for megabytes in [3] if rounds == 1 else [0, 1, 3, 8, 12, 20, 25, 30]:
        disk.leave(megabytes << 20 >> 12)
        ended = faulty(*start)
        if ended.code not in (0, 3):
            says_it_in_a_line(ended)
            failed += 1
        disk.free()
        again = faulty("train", "--resume", "--output", "small/run")
        if again.code not in (0, 3):
            assert again.code == 2, again.said
            shutil.rmtree(disk.folder / "run", ignore_errors=True)
            assert faulty(*start).code in (0, 3)
        assert weights.read_bytes()[-(1 << 20) :] == learned
    assert failed


def test_sort(faulty: Faulty, classify: list[object], disk: Disk, rounds: int) -> None:
    """Every photo that is there is whole, and with room all are."""
    assert faulty(*classify).code == 3
    command = ["sort", "rows/out.csv", "--into", "small/sorted", "--by", "copy", "--apply"]
    before, failed = {path.name: path.read_bytes() for path in (faulty.folder / "photos").iterdir()}, 0
    for left in pages(rounds, 2, 23, most=26):
        disk.leave(left)
        ended = faulty(*command)
        # The plan knows how much room the photos need, and not how much their last pages do.
        if "more than there are free" not in ended.said and ended.code != 0:
            says_it_in_a_line(ended)
        assert ended.code == 1 or left > 23
        failed += ended.code == 1
        there = {path.name: path.read_bytes() for path in (disk.folder / "sorted").rglob("*.png")}
        assert there.items() <= before.items()
        disk.free()
        again = faulty(*command)
        assert again.code == 0, again.said
        there = {path.name: path.read_bytes() for path in (disk.folder / "sorted").rglob("*.png")}
        assert there.items() <= before.items()
        assert len(there) == 12
    assert failed
