"""`clipcli classify --update --watch`: goes on as files arrive, change or go, until it is stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from clipcli.cli import classify_update
from clipcli.commands.classify import watch
from clipcli.encoding.model import Model
from clipcli.errors import MissingExtra, UsageError
from clipcli.outputs.open import Output
from clipcli.records import Row

from .conftest import Run

pytest.importorskip("watchfiles", reason="--watch needs watchfiles")


@pytest.mark.usefixtures("photos")
def test_each_batch_is_a_line_and_the_model_is_loaded_once(
    run: Run, labels: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = Model.load

    def counted(self: Model, *towers: str) -> object:
        loaded.extend([] if self._backbone else towers)
        return load(self, *towers)

    def batches(folders: list[str]) -> Iterator[frozenset[str]]:
        assert folders == ["photos"]
        yield frozenset()
        assert len(Path("predictions.csv").read_text().splitlines()) == 7
        os.rename("photos/a.jpg", "photos/z.jpg")
        shutil.copy("photos/b.png", "photos/being-written.png")
        yield frozenset({os.path.abspath("photos/being-written.png"), os.path.abspath("photos/b.png")})
        assert "being-written" not in Path("predictions.csv").read_text()
        yield frozenset()
        text = Path("predictions.csv").read_text().replace("photos/b.png,model,", "photos/b.png,person,")
        Path("predictions.csv").write_text(text)
        yield frozenset()
        yield frozenset()
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "load", counted)
    monkeypatch.setattr(watch, "due", batches)
    done = run("classify", "photos", "--labels", labels, "--model", model, "--update", "--watch")
    assert done.code == 130
    said = [line for line in done.err.splitlines() if "predictions.csv" in line]
    assert said == [
        "predictions.csv: 0 kept, 6 new, 0 moved, 0 changed, 0 dropped, 0 corrected, 0 relabelled.",
        "predictions.csv: 5 kept, 0 new, 1 moved, 0 changed, 0 dropped, 0 corrected, 0 relabelled.",
        "predictions.csv: 6 kept, 1 new, 0 moved, 0 changed, 0 dropped, 0 corrected, 0 relabelled.",
        "predictions.csv: 6 kept, 0 new, 0 moved, 0 changed, 0 dropped, 1 corrected, 0 relabelled.",
        "Stopped; predictions.csv is as the last line says.",
    ]
    assert loaded == ["text", "image"] or loaded == ["image", "text"]


def test_an_empty_folder_is_waited_for(
    run: Run, photos: Path, labels: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("inbox").mkdir()

    def batches(_: list[str]) -> Iterator[frozenset[str]]:
        yield frozenset()
        # Between two updates the output is that of this run as well.
        other = [sys.executable, "-m", "clipcli", "classify", "inbox", "--labels", "cat, dog", "--update"]
        refused = subprocess.run(other, capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert f"another run (process {os.getpid()}) is writing predictions.csv" in refused.stderr
        shutil.copy(photos / "a.jpg", "inbox")
        yield frozenset()
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "due", batches)
    done = run("classify", "inbox", "--labels", labels, "--model", model, "--update", "--watch")
    assert done.code == 130
    assert "no images in inbox; looked for" in done.err
    assert "predictions.csv: 0 kept, 1 new" in done.err


@pytest.mark.usefixtures("photos")
def test_what_is_saved_during_an_update_stays_and_the_watch_goes_on(
    run: Run, labels: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, saved = Output.write, []

    def edited_meanwhile(self: Output, rows: Sequence[Row]) -> None:
        if Path("photos/z.jpg").exists() and not saved:
            saved.append(Path("predictions.csv").read_text().replace("photos/b.png,model,", "photos/b.png,person,"))
            Path("predictions.csv").write_text(saved[0])
        write(self, rows)

    def batches(_: list[str]) -> Iterator[frozenset[str]]:
        yield frozenset()
        shutil.copy("photos/a.jpg", "photos/z.jpg")
        yield frozenset()
        raise KeyboardInterrupt

    monkeypatch.setattr(Output, "write", edited_meanwhile)
    monkeypatch.setattr(watch, "due", batches)
    done = run("classify", "photos", "--labels", labels, "--model", model, "--update", "--watch")
    assert done.code == 130
    said = [line for line in done.err.splitlines() if "predictions.csv" in line]
    assert said[1:] == [
        "predictions.csv was changed meanwhile, as by hand; it is brought up to date again.",
        "predictions.csv: 5 kept, 1 new, 0 moved, 0 changed, 0 dropped, 1 corrected, 0 relabelled.",
        "Stopped; predictions.csv is as the last line says.",
    ]
    assert "photos/b.png,person," in Path("predictions.csv").read_text()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter times to wait."""
    monkeypatch.setattr(watch, "_QUIET", 0.3)
    monkeypatch.setattr(watch, "_LONGEST", 0.9)
    monkeypatch.setattr(watch, "_TICK", 50)


@pytest.mark.usefixtures("quick")
def test_changes_are_waited_for_until_files_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    due = watch.due([str(folder)])
    try:
        assert next(due) == frozenset()
        (folder / "note.txt").write_text("x")
        (folder / ".hidden.jpg").write_text("x")
        (folder / "a.jpg").write_text("x")
        began = time.monotonic()
        assert next(due) == frozenset()
        assert time.monotonic() - began >= 0.25
        (folder / "a.jpg").unlink()
        assert next(due) == frozenset()
    finally:
        due.close()


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_written_for_long_does_not_hold_up_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[set[tuple[int, str]]] = [set(), {(1, "/p/a.jpg"), (1, "/p/long.jpg")}]
    ticks += [{(2, "/p/long.jpg")}] * 12 + [set()] * 8
    clock = iter(range(1000))
    monkeypatch.setattr("watchfiles.watch", lambda *_, **__: iter(ticks))
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock) / 10)
    found = list(watch.due([str(tmp_path)]))
    assert found == [frozenset(), frozenset({os.path.abspath("/p/long.jpg")}), frozenset()]


def test_what_can_be_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.check_watch([str(tmp_path)])
    with pytest.raises(UsageError, match=r"--watch watches folders, and a\.zip is none; give the folder that it is in"):
        watch.check_watch(["a.zip"])
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="--watch needs watchfiles; run"):
        watch.check_watch([str(tmp_path)])


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.jpg", True), ("gone.jpg", True), ("gone", True), ("folder", True), ("a.txt", False), (".a.jpg.x1", False)],
)
def test_what_is_of_images(tmp_path: Path, name: str, is_one: bool) -> None:
    (tmp_path / "folder").mkdir()
    for file in ("a.jpg", "a.txt", ".a.jpg.x1"):
        (tmp_path / file).write_text("x")
    assert watch.is_of_images(str(tmp_path / name)) is is_one


def test_conflicts_beyond_some_are_counted(tmp_path: Path) -> None:
    from clipcli.commands.classify.settings import RowsFile

    for name, label in (("a.csv", "cat"), ("b.csv", "dog")):
        rows = [f"{n}.jpg,{label},2026-01-01T00:00:00+00:00" for n in range(30)]
        (tmp_path / name).write_text("\n".join(["path,label,reviewed_at", *rows, ""]))
    said: list[str] = []

    class Shown:
        show: Callable[[object], None] = staticmethod(lambda event: said.append(event.message))

    file = RowsFile(update=True, output=str(tmp_path / "out.csv"), corrections=(tmp_path / "a.csv", tmp_path / "b.csv"))
    update = classify_update.read_update(file, Shown())
    assert update.former is None
    assert len(update.corrections.by_path) == 30
    assert len(said) == 21
    assert said[-1] == "30 corrections differ between the files; these are the first"
