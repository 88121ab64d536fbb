"""SIGKILL at calls that are spread over a run: no row is lost, doubled or shifted, and no entry of the cache torn."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from clipcli.files.manifest import manifests_without_parts

from .conftest import KILL, KILLED, OUTPUT, Faulty, spread

# In each test; in long rounds 50 times as many.
KILLS = 2
# The cache makes most of the calls: every other kill is at one that has to do with the rows.
WATCHED = ("", "rows")


def kills(
    faulty: Faulty,
    command: list[object],
    number: int,
    *,
    begin: Callable[[], object],
    watching: Sequence[str] = WATCHED,
) -> Iterator[None]:
    """Kill the command at calls that are spread over it, each time from the same beginning."""
    for n, watched in enumerate(watching):
        begin()
        whole = faulty(*command, watched=watched)
        assert whole.code in (0, 3), whole.said
        assert whole.calls
        for at in spread(whole.calls, number // len(watching), seed=f"{command} {n}"):
            begin()
            assert faulty(*command, at=at, action=KILL, watched=watched).code == KILLED
            yield


def check_cache(faulty: Faulty) -> None:
    """The cache is sound, and no entry of it is damaged."""
    path = faulty.folder / "cache" / "embeddings.sqlite"
    if path.exists() and path.stat().st_size:
        with closing(sqlite3.connect(path)) as connection:
            assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]


def whole_rows(faulty: Faulty, command: list[object]) -> bytes:
    """The output of a run that nobody kills, without a cache of earlier runs."""
    faulty.clear()
    assert faulty(*command).code == 3
    rows = (faulty.folder / OUTPUT).read_bytes()
    assert rows.count(b"\n") == 14
    return rows


def goes_on(faulty: Faulty, command: list[object], rows: bytes) -> None:
    """The same command with `--resume` ends with the rows of a run that was never killed, and leaves nothing else."""
    check_cache(faulty)
    ended = faulty(*command, "--resume")
    assert ended.code == 3, ended.said
    assert "cache" not in ended.said.replace("comes from the cache", "")
    assert (faulty.folder / OUTPUT).read_bytes() == rows
    # After a kill at the very end there is nothing to write, and the manifest of no file waits for the next run.
    stray = set(manifests_without_parts(faulty.folder / OUTPUT))
    left = {path.name for path in set((faulty.folder / "rows").iterdir()) - stray}
    assert left == {"out.csv", "out.csv.json"}
    assert len(stray) <= 1


def test_classify(faulty: Faulty, classify: list[object], rounds: int) -> None:
    rows = whole_rows(faulty, classify)
    for _ in kills(faulty, classify, KILLS * rounds, begin=faulty.clear):
        goes_on(faulty, classify, rows)


def test_cache_writes(faulty: Faulty, classify: list[object], rounds: int) -> None:
    rows = whole_rows(faulty, classify)
    for _ in kills(faulty, classify, KILLS * rounds, begin=faulty.clear, watching=["cache"]):
        goes_on(faulty, classify, rows)


def test_resume(faulty: Faulty, classify: list[object], rounds: int) -> None:
    rows = whole_rows(faulty, classify)
    faulty.clear()
    calls = faulty(*classify, watched="rows").calls
    assert calls
    faulty.clear()
    # After three of seven batches.
    faulty(*classify, at=calls // 2, action=KILL, watched="rows")
    former = faulty.folder.parent / "former"
    for name in ("rows", "cache"):
        shutil.copytree(faulty.folder / name, former / name)

    def begin() -> None:
        faulty.clear()
        for name in ("rows", "cache"):
            shutil.copytree(former / name, faulty.folder / name, dirs_exist_ok=True)

    for _ in kills(faulty, [*classify, "--resume"], KILLS * rounds, begin=begin):
        goes_on(faulty, classify, rows)


def test_update(faulty: Faulty, classify: list[object], rounds: int) -> None:
    rows = whole_rows(faulty, classify)
    aside = faulty.folder / "aside"
    aside.mkdir()
    some = [faulty.folder / "photos" / name for name in ("03.png", "07.png", "11.png")]
    for path in some:
        path.rename(aside / path.name)
    faulty.clear()
    assert faulty(*classify).code == 3
    former = (faulty.folder / OUTPUT).read_bytes()
    for path in some:
        (aside / path.name).rename(path)
    kept = faulty.folder.parent / "former"
    for name in ("rows", "cache"):
        shutil.copytree(faulty.folder / name, kept / name)
    assert faulty(*classify, "--update").code == 3
    # An update adds a column; else it has the rows of a first run.
    wanted = (faulty.folder / OUTPUT).read_bytes()
    assert wanted.replace(b",source,", b",").replace(b",model,", b",") == rows

    def begin() -> None:
        faulty.clear()
        for name in ("rows", "cache"):
            shutil.copytree(kept / name, faulty.folder / name, dirs_exist_ok=True)

    for _ in kills(faulty, [*classify, "--update"], KILLS * rounds, begin=begin):
        check_cache(faulty)
        assert (faulty.folder / OUTPUT).read_bytes() in (former, wanted)
        ended = faulty(*classify, "--update")
        assert ended.code == 3, ended.said
        assert (faulty.folder / OUTPUT).read_bytes() == wanted


def test_build_classifier(faulty: Faulty, model: str, rounds: int) -> None:
    command = ["build-classifier", "--labels", "labels.txt", "--model", model, "--output", "rows/c.safetensors"]
    target = faulty.folder / "rows" / "c.safetensors"
    assert faulty(*command).code == 0
    whole = tensors(target)
    for _ in kills(faulty, [*command], KILLS * rounds, begin=faulty.clear):
        check_cache(faulty)
        assert not target.exists() or tensors(target) == whole
        assert faulty(*command, "--overwrite").code == 0
        assert tensors(target) == whole


def tensors(path: Path) -> tuple[dict[str, object], bytes]:
    """The header and the numbers of a file of safetensors, which writes its header in any order."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:begin]), data[begin:]


def test_sort(faulty: Faulty, classify: list[object], rounds: int) -> None:
    whole_rows(faulty, classify)
    before = contents(faulty.folder / "photos")
    command = ["sort", OUTPUT, "--into", "sorted", "--by", "move", "--apply"]

    def begin() -> None:
        for journal in (faulty.folder / "sorted").glob("clipcli-journal-*.jsonl"):
            assert faulty("undo", journal).code == 0
        assert contents(faulty.folder / "photos") == before
        shutil.rmtree(faulty.folder / "sorted", ignore_errors=True)

    begin()
    calls = faulty(*command).calls
    assert calls
    wanted = contents(faulty.folder / "sorted")
    assert len(wanted) == 12
    for at in spread(calls, KILLS * rounds, seed="sort"):
        begin()
        assert faulty(*command, at=at, action=KILL).code == KILLED
        there = {**contents(faulty.folder / "photos"), **contents(faulty.folder / "sorted")}
        assert sorted(there.values()) == sorted(before.values())
        ended = faulty(*command)
        assert ended.code == 0, ended.said
        assert contents(faulty.folder / "sorted") == wanted


def contents(folder: Path) -> dict[str, bytes]:
    """The photos below a folder, by their names."""
    return {path.name: path.read_bytes() for path in folder.rglob("*.png")}


def test_train(faulty: Faulty, models: dict[str, Path], rounds: int) -> None:
    """What goes on from the last checkpoint has the weights of a run that was never killed."""
    (faulty.folder / "photos" / "05 bad.png").unlink()
    for photo in (faulty.folder / "photos").glob("*.png"):
        photo.with_suffix(".txt").write_text(f"a thing of kind {photo.stem}\n")
    start: list[object] = ["train", "photos", "--output", "run", "--model", models["resnet"], "--device", "cpu"]
    start += ["--precision", "fp32", "--steps", 6, "--batch-size", 4, "--lr", "1e-3", "--save-every", 2]
    run = faulty.folder / "run"
    whole = faulty(*start, watched="run")
    assert whole.code in (0, 3), whole.said
    assert whole.calls
    weights = tensors(run / "open_clip_model.safetensors")
    # A run takes seconds.
    for at in spread(whole.calls, 1 if rounds == 1 else KILLS * rounds, seed="train"):
        shutil.rmtree(run)
        assert faulty(*start, at=at, action=KILL, watched="run").code == KILLED
        ended = faulty("train", "--resume", "--output", "run")
        # Before its first checkpoint there is nothing to go on with.
        if ended.code not in (0, 3):
            assert ended.code == 2, ended.said
            shutil.rmtree(run, ignore_errors=True)
            assert faulty(*start).code in (0, 3)
        assert tensors(run / "open_clip_model.safetensors") == weights
