"""`clipcli sort`: counts on standard output, words on standard error, and a way back in the last line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipcli.cli import sort as module

from .conftest import Run


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three images, one with a sidecar, and an output, in the folder of the command."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg", "b.jpg.xmp", "c.jpg"):
        (tmp_path / "photos" / name).write_text(name)
    (tmp_path / "predictions.csv").write_text(
        "path,label,score,error\nphotos/a.jpg,cat,0.9,\nphotos/b.jpg,dog,0.8,\nphotos/c.jpg,cat,0.3,\n"
    )
    return tmp_path


NOTE = (
    "3 images are not in the cache, such as photos/a.jpg: that they are as they were when they were labelled is told by"
    " the times of their files alone"
)


@pytest.mark.usefixtures("album")
def test_a_plan_is_counts_and_what_to_do_next(run: Run) -> None:
    done = run("sort", "predictions.csv", "--into", "sorted")
    assert (done.code, done.out) == (0, "      2  cat\n      1  dog\n")
    assert done.err.splitlines() == [
        NOTE,
        f"1 file belongs to these images, {Path('photos/b.jpg.xmp').absolute()}: they go along",
        "Plan: 3 images (4 files, 24 B) would be copied into 2 folders of sorted. Nothing was done yet; --apply does"
        " it.",
    ]
    assert not Path("sorted").exists()


@pytest.mark.usefixtures("album")
def test_the_plan_of_each_file(run: Run) -> None:
    done = run("sort", "predictions.csv", "--into", "sorted", "--list", "--min-score", 0.5, "-q")
    here = Path().absolute()
    assert done.out.splitlines() == [
        f"{here}/photos/a.jpg\t{here}/sorted/cat/a.jpg",
        f"{here}/photos/b.jpg\t{here}/sorted/dog/b.jpg",
        f"{here}/photos/b.jpg.xmp\t{here}/sorted/dog/b.jpg.xmp",
    ]
    assert done.err == ""


@pytest.mark.usefixtures("album")
def test_the_last_line_brings_all_back(run: Run) -> None:
    done = run("sort", "predictions.csv", "--into", "sorted", "--by", "move", "--apply")
    [journal] = Path("sorted").glob("clipcli-journal-*.jsonl")
    assert done.code == 0
    assert done.err.splitlines()[-2:] == [
        "Done: 3 images (4 files) moved into 2 folders of sorted.",
        f"To bring all back: clipcli undo {journal}",
    ]
    again = run("sort", "predictions.csv", "--into", "sorted", "--by", "move", "--apply")
    assert again.err == "3 images are where they belong already.\nNothing is to be done.\n"
    assert run("undo", journal).err == "Undone: 4 files moved back, 2 empty folders removed.\n"
    assert sorted(path.name for path in Path("photos").iterdir()) == ["a.jpg", "b.jpg", "b.jpg.xmp", "c.jpg"]


@pytest.mark.usefixtures("album")
def test_vanished_images_are_an_exit_code(run: Run) -> None:
    Path("photos/a.jpg").unlink()
    assert run("sort", "predictions.csv", "--into", "sorted").code == 0
    assert run("sort", "predictions.csv", "--into", "sorted", "--apply").code == 3


@pytest.mark.usefixtures("album")
def test_a_file_that_fails_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def refuse(source: str, target: str) -> None:
        if source.endswith("a.jpg"):
            raise PermissionError(1, "Operation not permitted")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    done = run("sort", "predictions.csv", "--into", "sorted", "--by", "hardlink", "--apply")
    assert done.code == 3
    assert done.err.splitlines()[-3:-1] == [
        f"Not hard-linked: {Path('photos/a.jpg').absolute()}: Operation not permitted.",
        "Done: 3 of 4 files hard-linked into 2 folders of sorted.",
    ]


@pytest.mark.usefixtures("album")
def test_what_is_missing_is_said(run: Run) -> None:
    assert run("sort").err.startswith("clipcli: no PREDICTIONS were given; give the output of clipcli classify")
    assert run("sort", "predictions.csv").err == "clipcli: no folder was given; give --into DIR\n"
    done = run("sort", "predictions.csv", "--into", "sorted", "--by", "mv")
    assert (done.code, done.err) == (2, "clipcli: unknown --by 'mv'; choose one of: move, copy, hardlink, symlink\n")


@pytest.mark.usefixtures("album")
def test_ctrl_c_stops_after_the_file_in_hand(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    show = module._Stop.show

    def press(self: module._Stop, event: object) -> None:
        show(self, event)  # type: ignore[arg-type]
        if getattr(event, "done", None) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module._Stop, "show", press)
    done = run("sort", "predictions.csv", "--into", "sorted", "--apply")
    [journal] = Path("sorted").glob("clipcli-journal-*.jsonl")
    assert done.code == 130
    assert done.err.splitlines()[-3:] == [
        "Stopping after the file in hand. Ctrl-C again stops at once.",
        "Stopped after 2 of 4 files; the same command goes on from there.",
        f"To bring back what was done: clipcli undo {journal}",
    ]
    monkeypatch.setattr(module._Stop, "show", show)
    again = run("sort", "predictions.csv", "--into", "sorted", "--apply")
    assert again.err.splitlines()[-3:] == [
        "2 images are where they belong already.",
        "Done: 1 image (2 files, 14 B) copied into 1 folder of sorted.",
        f"To bring all back: clipcli undo {journal}",
    ]
    assert run("undo", journal).err == "Undone: 4 copies removed, 2 empty folders removed.\n"


def test_the_cache_knows_a_change_whose_time_was_set_back(run: Run, photos: Path, model: str) -> None:
    for path in photos.rglob("*.*"):
        os.utime(path, (10**9, 10**9))
    assert run("classify", "photos", "--labels", "cat,dog", "--model", model, "-q").code == 0
    sort = ("sort", "predictions.csv", "--into", "sorted")
    assert run(*sort).err.startswith("Plan: 6 images")
    content = bytearray(Path("photos/b.png").read_bytes())
    content[-20] ^= 1
    Path("photos/b.png").write_bytes(content)
    os.utime("photos/b.png", (10**9, 10**9))
    # Of this one something else changed.
    os.chmod("photos/c.webp", 0o600)
    os.utime("photos/a.jpg", (10**9, time.time() + 60))
    os.utime("photos/d.jpg", (10**9 + 1, 10**9))
    os.utime("photos/e.bmp", (10**9, 10**9 + 1))
    assert run(*sort).err.splitlines()[:-1] == [
        "clipcli: 2 images have changed since they were labelled, such as photos/a.jpg: the labels that they have"
        " count; classify them again if they show something else by now",
        "1 image is not in the cache, photos/e.bmp: that they are as they were when they were labelled is told by the"
        " times of their files alone",
    ]


def test_neither_command_loads_anything_heavy(album: Path) -> None:
    script = (
        "import sys; from clipcli.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*({'torch', 'open_clip', 'pandas', 'numpy', 'scipy', 'PIL'} & set(sys.modules)))"
    )

    def loaded(*arguments: str) -> str:
        given = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(given, cwd=album, capture_output=True, text=True, timeout=60)
        return done.stdout.splitlines()[-1]

    assert loaded("sort", "predictions.csv", "--into", "sorted", "--apply") == ""
    [journal] = album.joinpath("sorted").glob("clipcli-journal-*.jsonl")
    assert loaded("undo", str(journal)) == ""
