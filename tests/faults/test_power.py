"""A power cut at any call: what was not synced is gone, and the output is the former one or the whole new one.

The shim notes each call, and what a rename or a removal took away. From that two states of the disk are made that the
cut may leave: in both a file has only as many bytes as were synced; in one each rename is on the disk at once, ahead
of the content, and in the other none is that was made since its folder was synced. SQLite's own files are left as they
are: it syncs by a plan of its own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .conftest import KILL, KILLED, OUTPUT, Faulty, spread

# In each test; in long rounds 50 times as many.
CUTS = 2


class Disk:
    """What of the files of a folder was synced, by the log of the shim."""

    def __init__(self, keep: Path, folder: Path) -> None:
        self._keep = keep
        # The bytes of each file that are synced, and the renames and removals since their folder was.
        self.synced: dict[str, int] = {}
        self.pending: list[list[str]] = []
        log = keep / "log"
        for line in log.read_text().splitlines() if log.exists() else ():
            what, path, *rest = line.split("\t")
            if path == str(folder) or os.path.dirname(path) == str(folder):
                self._note(what, path, rest)

    def _note(self, what: str, path: str, rest: list[str]) -> None:
        if what in ("create", "write"):
            self.synced.setdefault(path, 0)
        elif what == "sync" and os.path.isdir(path):
            self.pending = []
        elif what == "sync":
            self.synced[path] = int(rest[0])
        elif what == "rename":
            self.synced[rest[0]] = self.synced.pop(path, 0)
            self.pending.append([what, path, *rest])
        elif what == "unlink":
            self.pending.append([what, path, *rest])

    def cut(self, *, renames_last: bool) -> None:
        """Leave of the files what the disk holds."""
        for path, size in self.synced.items():
            if os.path.exists(path) and os.path.getsize(path) > size:
                os.truncate(path, size)
        for what, path, *rest in reversed(self.pending) if renames_last else ():
            if what == "rename":
                target, kept = rest
                os.rename(target, path)
                if kept != "0":
                    shutil.copy(self._keep / kept, target)
            elif rest[0] != "0" and not os.path.exists(path):
                shutil.copy(self._keep / rest[0], path)


def power_cuts(faulty: Faulty, command: list[object], number: int, *, former: dict[str, bytes]) -> None:
    """Cut the power at calls that are spread over a command: what is left is whole, and the next run ends as ever."""
    rows = faulty.folder / "rows"

    def begin() -> None:
        faulty.clear()
        for name, data in former.items():
            (rows / name).write_bytes(data)

    begin()
    calls = faulty(*command, watched="rows").calls
    wanted = (faulty.folder / OUTPUT).read_bytes()
    assert calls
    for n, at in enumerate(spread(calls, number, seed="power")):
        begin()
        keep = faulty.folder.parent / f"keep {n}"
        keep.mkdir()
        assert faulty(*command, at=at, action=KILL, watched="rows", keep=keep).code == KILLED
        disk = Disk(keep, rows)
        disk.cut(renames_last=bool(n % 2))
        if (faulty.folder / OUTPUT).exists():
            assert (faulty.folder / OUTPUT).read_bytes() in (former.get("out.csv"), wanted)
        ended = faulty(*command) if former else faulty(*command, "--resume")
        assert ended.code == 3, ended.said
        assert (faulty.folder / OUTPUT).read_bytes() == wanted


def test_a_first_run(faulty: Faulty, classify: list[object], rounds: int) -> None:
    power_cuts(faulty, classify, 2 * CUTS * rounds, former={})


def test_an_update(faulty: Faulty, classify: list[object], rounds: int) -> None:
    assert faulty(*classify).code == 3
    (faulty.folder / "photos" / "new.png").write_bytes((faulty.folder / "photos" / "00.png").read_bytes())
    former = {path.name: path.read_bytes() for path in (faulty.folder / "rows").iterdir()}
    power_cuts(faulty, [*classify, "--update"], CUTS * rounds, former=former)


@pytest.mark.parametrize("renames_last", [False, True])
def test_what_is_in_place_at_the_end_stays(faulty: Faulty, classify: list[object], renames_last: bool) -> None:
    """The power is cut right after a run: its output and manifest are whole."""
    keep = faulty.folder.parent / "keep"
    keep.mkdir()
    assert faulty(*classify, watched="rows", keep=keep).code == 3
    whole = {name: (faulty.folder / "rows" / name).read_bytes() for name in ("out.csv", "out.csv.json")}
    disk = Disk(keep, faulty.folder / "rows")
    assert disk.synced[str(faulty.folder / OUTPUT)] == len(whole["out.csv"])
    disk.cut(renames_last=renames_last)
    for name, data in whole.items():
        assert (faulty.folder / "rows" / name).read_bytes() == data


def test_zeros_at_the_end_are_no_rows(faulty: Faulty, classify: list[object]) -> None:
    """Some file systems keep the size of a file and lose its last bytes."""
    calls = faulty(*classify, watched="rows").calls
    assert calls
    wanted = (faulty.folder / OUTPUT).read_bytes()
    faulty.clear()
    assert faulty(*classify, at=calls // 2, action=KILL, watched="rows").code == KILLED
    [part] = (faulty.folder / "rows").glob(".out.csv.????????.part")
    size = part.stat().st_size
    os.truncate(part, size - 20)
    os.truncate(part, size + 500)
    ended = faulty(*classify, "--resume")
    assert ended.code == 3, ended.said
    assert (faulty.folder / OUTPUT).read_bytes() == wanted
