"""A run's folder: one run at a time, never begun over another, and what is written there can be read."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clipcli
from clipcli.commands.train.report import REPORT_FILE, write_report
from clipcli.commands.train.run_folder import RunFolder
from clipcli.commands.train.run_lines import read_lines
from clipcli.commands.train.settings import TrainConfig, configured
from clipcli.errors import BadFile, OutputExists, OutputFailed, UsageError
from clipcli.settings import read_yaml

CONFIG = configured({"data": ["photos"], "model": "m", "steps": 10, "lr": 1e-5, "output": "run"})


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    """A new run's folder."""
    folder = RunFolder(tmp_path / "runs" / "one")
    yield folder
    folder.close()


def lines(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of the metrics."""
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]


def leftovers(run: RunFolder) -> list[Path]:
    """Files that were begun and never put in place."""
    return list(run.path.glob("*.part")) + list(run.path.glob(".*.part"))


def test_a_folder_in_use_is_refused_until_it_is_closed(run: RunFolder) -> None:
    with pytest.raises(UsageError, match=f"^{run.path} is in use by another run; give another --output, or wait"):
        RunFolder(run.path)
    other = RunFolder(run.path.with_name("two"))
    other.close()
    run.close()
    again = RunFolder(run.path)
    again.close()


def test_the_lock_holds_for_other_processes_and_dies_with_its_own(run: RunFolder, tmp_path: Path) -> None:
    take = "import filelock, os, sys; filelock.FileLock(sys.argv[1]).acquire(timeout=0); os._exit(0)"
    locks = [run.path / ".lock", tmp_path / ".lock"]
    codes = [subprocess.run([sys.executable, "-c", take, lock], stderr=subprocess.PIPE).returncode for lock in locks]
    assert codes == [1, 0]
    # The second file is there still, and the process that had it is not.
    assert locks[1].exists()
    RunFolder(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OutputFailed, match=f"^cannot write in {file / 'run'}: .*; choose another --output$"):
        RunFolder(file / "run")
    with pytest.raises(UsageError, match=f"^{file} is a file; give a folder for the run$"):
        RunFolder(file)


@pytest.mark.parametrize("resume", [False, True])
def test_a_new_run_keeps_its_settings(run: RunFolder, resume: bool) -> None:
    run.begin(CONFIG, resume=resume)
    assert configured(read_yaml(run.path / "train.yaml")) == CONFIG
    assert leftovers(run) == []


@pytest.mark.parametrize("there", ["checkpoints/step-00000010/x", "metrics.jsonl"])
def test_a_run_that_is_there_is_not_begun_anew(run: RunFolder, there: str) -> None:
    (run.path / there).parent.mkdir(parents=True, exist_ok=True)
    (run.path / there).write_text("")
    with pytest.raises(OutputExists, match=f"^{run.path} holds a run; go on with it by --resume, or give another"):
        run.begin(CONFIG, resume=False)
    assert not (run.path / "train.yaml").exists()
    run.begin(CONFIG, resume=True)


def test_a_run_that_ended_before_its_first_line_may_be_begun_anew(run: RunFolder) -> None:
    run.begin(CONFIG, resume=False)
    (run.path / "checkpoints" / ".step-00000010.part").mkdir(parents=True)
    other = configured({"data": ["other"], "arch": "a"})
    run.begin(other, resume=False)
    assert configured(read_yaml(run.path / "train.yaml")) == other


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lr": 1e-4}, "--lr was 1e-05 and is 0.0001"),
        ({"batch_size": 20, "seed": 3}, "--batch-size was None and is 20; --seed was 0 and is 3"),
        ({"model": None, "arch": "a"}, "--model was m and is None; --arch was None and is a"),
        ({"weight_decay": 0.1}, "--weight-decay was None and is 0.1"),
    ],
)
def test_going_on_with_other_settings_is_refused_and_says_which(
    run: RunFolder, change: dict[str, Any], says: str
) -> None:
    run.begin(CONFIG, resume=False)
    written = (run.path / "train.yaml").read_bytes()
    with pytest.raises(UsageError) as raised:
        run.begin(changed(change), resume=True)
    assert str(raised.value) == (
        f"cannot resume {run.path}: {says}; leave that out, or start anew "
        "(what may change: --steps, where DATA and the model lie, and what does not change the result)"
    )
    assert (run.path / "train.yaml").read_bytes() == written


def changed(change: dict[str, Any]) -> TrainConfig:
    """The settings with some of them changed."""
    return configured({"data": ["photos"], "model": "m", "steps": 10, "lr": 1e-5, "output": "run", **change})


@pytest.mark.parametrize(
    "change", [{}, {"output": "./run"}, {"steps": 20}, {"workers": 2, "save_every": 3, "max_skipped": 0.5}]
)
def test_going_on_with_settings_that_change_nothing_is_allowed(run: RunFolder, change: dict[str, Any]) -> None:
    run.begin(CONFIG, resume=False)
    run.begin(changed(change), resume=True)
    run.write_settings(changed(change))
    assert configured(read_yaml(run.path / "train.yaml")) == changed(change)


def test_settings_that_cannot_be_read_back_are_named(run: RunFolder) -> None:
    run.begin(CONFIG, resume=False)
    (run.path / "train.yaml").write_text("lr: [")
    with pytest.raises(BadFile, match=r"train\.yaml: not YAML"):
        run.begin(CONFIG, resume=True)


NAMES = ["vit", "猫", "a\u2028b", "a\x85b", 'a"b\\c\nd\re', os.fsdecode(b"\xff")]


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_read_back_as_they_were_logged(run: RunFolder, name: str) -> None:
    run.log("start", {"model": name, "pairs": 3})
    run.log("step", {"step": 1, "loss": 0.25})
    assert lines(run) == [{"kind": "start", "model": name, "pairs": 3}, {"kind": "step", "step": 1, "loss": 0.25}]
    assert read_lines(run.path / "metrics.jsonl").start["model"] == name


def logged(run: RunFolder) -> list[dict[str, Any]]:
    """A run of six steps that has ended."""
    run.log("start", {"pairs": 3})
    run.log("validation", {"step": 0, "top1": 0.5})
    for step in (1, 2, 4, 6):
        run.log("step", {"step": step, "loss": 1 / step})
        run.log("validation", {"step": step, "top1": 0.5})
    run.log("wise_ft", {"alpha": 0.5})
    run.log("end", {"step": 6})
    return lines(run)


@pytest.mark.parametrize(("step", "kept"), [(6, 10), (5, 8), (4, 8), (3, 6), (1, 4), (0, 2), (-1, 0)])
def test_lines_of_later_steps_and_of_the_end_are_forgotten(run: RunFolder, step: int, kept: int) -> None:
    before = logged(run)
    run.forget_after(step)
    assert lines(run) == before[:kept]
    run.log("step", {"step": step + 1})
    assert lines(run) == [*before[:kept], {"kind": "step", "step": step + 1}]
    assert leftovers(run) == []


@pytest.mark.parametrize("cut", [b"{", b'{"kind": "step", "step": 3', b'{"kind": "start", "model": "\\u732', b"\0\0\0"])
def test_a_last_line_that_was_cut_off_is_forgotten(run: RunFolder, cut: bytes) -> None:
    before = logged(run)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(cut)
    run.forget_after(4)
    assert lines(run) == before[:8]


@pytest.mark.parametrize("name", NAMES)
def test_forgetting_keeps_every_earlier_line_whatever_it_holds(run: RunFolder, name: str) -> None:
    run.log("start", {"model": name})
    run.log("step", {"step": 1})
    run.forget_after(0)
    assert lines(run) == [{"kind": "start", "model": name}]


def test_without_metrics_there_is_nothing_to_forget(run: RunFolder) -> None:
    run.forget_after(3)
    assert not (run.path / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "a,b.jpg", 'a"b.jpg', "a\nb.jpg", "a\rb.jpg", " a ", "猫.jpg", os.fsdecode(b"\xff\xe9.jpg"), "a\u2028b"],
)
def test_what_was_skipped_is_read_back_under_its_name(run: RunFolder, name: str) -> None:
    run.write_skipped([(name, "not an image"), ("b.jpg", 'cannot be decoded: "x", y')])
    with (run.path / "skipped.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "reason"], [name, "not an image"], ["b.jpg", 'cannot be decoded: "x", y']]
    assert leftovers(run) == []


def test_a_name_that_is_not_utf8_keeps_its_bytes(run: RunFolder) -> None:
    run.write_skipped([(os.fsdecode(b"\xff.jpg"), "truncated")])
    assert (run.path / "skipped.csv").read_bytes() == b"path,reason\n\xff.jpg,truncated\n"


def test_half_a_character_in_a_name_stops_nothing(run: RunFolder) -> None:
    """A table of JSON lines may name such an image, which then cannot be read."""
    run.write_skipped([("\ud800.jpg", "cannot be decoded"), ("b.jpg", "truncated")])
    content = (run.path / "skipped.csv").read_text(encoding="utf-8", errors="surrogateescape")
    assert content.splitlines()[2:] == ["b.jpg,truncated"]
    assert content.splitlines()[1].endswith(".jpg,cannot be decoded")


def test_what_strangers_called_an_image_is_no_formula(run: RunFolder) -> None:
    run.write_skipped([("=0.jpg", "truncated"), ("b.jpg", "truncated")], spreadsheet_safe=True)
    rows = ["path,reason,apostrophe_before", "'=0.jpg,truncated,path", "b.jpg,truncated,"]
    assert (run.path / "skipped.csv").read_text().splitlines() == rows
    run.log("run", {})
    write_report(run.path)
    page = (run.path / REPORT_FILE).read_text()
    assert ">=0.jpg<" in page
    assert "'=0" not in page


def test_what_was_skipped_is_written_anew(run: RunFolder) -> None:
    run.write_skipped([("a.jpg", "x"), ("b.jpg", "y")])
    run.write_skipped([])
    assert (run.path / "skipped.csv").read_text() == "path,reason\n"


def test_a_model_goes_on_stating_its_precision(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    start = Path(shutil.copytree(models["vit"], tmp_path / "start"))
    config = start / "open_clip_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "precision": "fp32"}))
    clipcli.train(pairs, output=tmp_path / "run", model=str(start), steps=1, batch_size=8, lr=1e-5, device="cpu")
    assert json.loads((tmp_path / "run" / config.name).read_text())["precision"] == "fp32"
