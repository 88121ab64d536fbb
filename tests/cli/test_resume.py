"""`clipcli classify --resume`: wherever a run was killed, the output is that of a run which never was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clipcli.cli import main
from clipcli.files.atomic import part_of, parts_of
from clipcli.outputs import WRITERS, OpenOutput
from clipcli.records import Row

FORMATS = list(WRITERS)
# Run by a process of its own: writes so many batches, and is killed in the middle of the next.
KILLED = """
import os, signal, sys
from clipcli.cli import main
from clipcli.outputs import OpenOutput

write, left = OpenOutput.write, [int(sys.argv[1])]

def killed(self, rows):
    if not left[0]:
        write(self, rows[:1])
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    write(self, rows)

OpenOutput.write = killed
main(sys.argv[2:])
"""


@pytest.fixture
def images(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of 23 images, some of which are broken, missing, or have odd names; the working folder is theirs."""
    monkeypatch.chdir(tmp_path)
    (photos / "broken.jpg").write_bytes((photos / "a.jpg").read_bytes()[:300])
    odd = photos / 'a "quoted",\rname.png'
    shutil.copy(photos / "b.png", odd)
    names = [*sorted(path for path in photos.rglob("*") if path.is_file()), Path("missing.jpg")] * 3
    path = tmp_path / "list.txt"
    path.write_bytes(b"\n".join(os.fsencode(name) for name in names[:23]))
    return path


class Command:
    """`clipcli classify` of the images, in batches of 4."""

    def __init__(self, labels: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.arguments = ["classify", "@list.txt", "--labels", str(labels), "--model", model]
        self.arguments += ["--batch-size", "4", "--no-cache"]
        self._capsys = capsys

    def __call__(self, output: str, *more: str, code: int = 3) -> str:
        """Run it here; what it said."""
        with warnings.catch_warnings(), pytest.raises(SystemExit) as exit_:
            main([*self.arguments, "--output", output, *more])
        said = self._capsys.readouterr().err
        assert exit_.value.code == code, said
        return said


@pytest.fixture
def classify(images: Path, labels: Path, model: str, capsys: pytest.CaptureFixture[str]) -> Command:
    assert images.exists()
    return Command(labels, model, capsys)


def content(path: str | Path) -> object:
    """What must be the same: the bytes, or of Parquet the rows."""
    return pq.read_table(path).to_pydict() if str(path).endswith("parquet") else Path(path).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("format", "batches"), [("csv", 3), ("jsonl", 5), ("parquet", 1)])
def test_after_a_kill_the_rest_is_labelled(classify: Command, format: str, batches: int) -> None:
    output = f"out.{format}"
    if format == "jsonl":
        # What was encoded before the kill is in the cache.
        classify.arguments.remove("--no-cache")
    killed = [sys.executable, "-c", KILLED, str(batches), *classify.arguments, "--output", output]
    done = subprocess.run(killed, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    [left] = parts_of(Path(output).resolve())
    assert not Path(output).exists()
    said = classify(output, "--resume")
    assert f"Going on after {4 * batches + 1} of 23 images." in said
    assert f"{output}: 23 rows in" in said
    classify(f"whole.{format}")
    assert content(output) == content(f"whole.{format}")
    assert not left.exists()


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What a kill would leave after each batch."""
    taken: list[bytes] = []
    write = OpenOutput.write

    def and_keep(self: OpenOutput, rows: Sequence[Row]) -> None:
        write(self, rows)
        taken.append(Path(self._part).read_bytes())

    monkeypatch.setattr(OpenOutput, "write", and_keep)
    return taken


@pytest.mark.parametrize("format", FORMATS)
def test_wherever_it_is_cut_the_output_is_the_same(classify: Command, format: str, snapshots: list[bytes]) -> None:
    whole, output = f"whole.{format}", f"out.{format}"
    classify(whole, "--top-k", "2")
    one, *_, two, last = snapshots
    cuts = [one[:30], one[:-1], snapshots[2], two[:-9], last[:-1], last]
    for cut in cuts:
        part = part_of(Path(output).resolve())
        part.write_bytes(cut)
        classify(output, "--top-k", "2", "--resume", "--quiet")
        assert content(output) == content(whole)
        Path(output).unlink()
        # Too short to hold a row, it was no run to go on with.
        part.unlink(missing_ok=True)
    assert parts_of(Path(output).resolve()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_after_an_interruption_the_output_itself_is_gone_on_with(
    classify: Command, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = f"out.{format}"
    write = OpenOutput.write

    def interrupted(self: OpenOutput, rows: Sequence[Row]) -> None:
        write(self, rows)
        if self._rows == 16:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OpenOutput, "write", interrupted)
        patch.setattr(os, "_exit", sys.exit)
        assert "Stopped after 12 of 23 images" in classify(output, code=130)
    before = content(output)
    with monkeypatch.context() as patch:
        # An interruption while the old rows are copied leaves them.
        patch.setattr(OpenOutput, "write", lambda *_: signal.raise_signal(signal.SIGINT))
        patch.setattr(os, "_exit", sys.exit)
        said = classify(output, "--resume", code=130)
    assert "Stopped before a new row; the 16 earlier rows are where they were." in said
    assert content(output) == before
    assert "Going on after 16 of 23 images." in classify(output, "--resume")
    classify(f"whole.{format}")
    assert content(output) == content(f"whole.{format}")
    assert parts_of(Path(output).resolve()) == []


def test_a_complete_output_is_left_as_it_is(classify: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    classify("out.csv")
    before = Path("out.csv").stat().st_mtime_ns
    monkeypatch.setattr("clipcli.commands.classify.run._label", lambda *_, **__: pytest.fail("no model is needed"))
    said = classify("out.csv", "--resume")
    assert "out.csv: complete, an earlier run had labelled all 23 images." in said
    assert "skipped" in said
    assert Path("out.csv").stat().st_mtime_ns == before


def test_a_run_killed_at_its_very_end_is_put_in_place(classify: Command) -> None:
    classify("out.csv")
    whole = Path("out.csv").read_bytes()
    Path("out.csv").rename(part_of(Path("out.csv").resolve()))
    assert "complete" in classify("out.csv", "--resume")
    assert Path("out.csv").read_bytes() == whole
    assert parts_of(Path("out.csv").resolve()) == []


def test_with_nothing_to_resume_it_starts(classify: Command) -> None:
    assert "out.csv: 23 rows in" in classify("out.csv", "--resume")


@pytest.mark.parametrize(
    ("inputs", "more", "message"),
    [
        ("@list.txt", "--prompts 0{}0", "out.csv was begun with other labels, another model or other settings"),
        ("@list.txt", "--score cosine", "out.csv was begun with other labels, another model or other settings"),
        ("@list.txt", "--top-k 2", "has the columns path,label,score,error and not path,label,score,label_2,score_2"),
        ("@list.txt", "--format jsonl", "out.csv holds something that is no row of clipcli classify"),
        ("@list.txt", "--labels others.txt", "out.csv was begun with other labels: '"),
        ("@short.txt", "", "out.csv has more rows than the 5 images of the inputs"),
        ("photos/d.jpg", "", "out.csv is of other inputs: its row 1 is "),
        ("@list.txt", "--overwrite", "drop one of them"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_touched(
    classify: Command, images: Path, inputs: str, more: str, message: str
) -> None:
    classify("out.csv")
    before = b"".join(Path("out.csv").read_bytes().splitlines(keepends=True)[:15])
    Path("out.csv").write_bytes(before)
    Path("others.txt").write_text("tree\nhouse\n")
    Path("short.txt").write_bytes(b"\n".join(images.read_bytes().split(b"\n")[:5]))
    classify.arguments[1] = inputs
    said = classify("out.csv", "--resume", *more.split(), code=2)
    assert message in said.splitlines()[-1]
    assert Path("out.csv").read_bytes() == before
    assert parts_of(Path("out.csv").resolve()) == []


def test_what_cannot_be_read_again_cannot_be_resumed(classify: Command) -> None:
    for output in ("-", "/dev/null"):
        said = classify(output, "--format", "csv", "--resume", code=2)
        assert f"--resume needs an output that can be read again, which {output} cannot" in said
    assert "parquet cannot go to /dev/null" in classify("/dev/null", "--format", "parquet", code=2)


def test_rows_of_a_killed_run_are_told_of_and_kept(classify: Command) -> None:
    part = part_of(Path("out.csv").resolve())
    part.write_text("path,label,score,error\nphotos/a.jpg,cat,0.5,\n")
    said = classify("out.csv")
    assert f"{part} holds rows of an interrupted run; --resume goes on with them" in said
    assert part.exists()


def test_the_rate_and_the_bar_leave_earlier_rows_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from clipcli.cli.classify import _Summary
    from clipcli.cli.display import Display
    from clipcli.events import InputsFound, RowsReady

    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    display, summary = Display(quiet=False, verbose=False), _Summary("out.csv")
    display._progress.get_time = lambda: now[0]
    rows = tuple(Row(f"{n}.jpg", (), (), "truncated") for n in range(100))
    events = [RowsReady(rows, earlier=True)] * 90 + [RowsReady(rows)] * 5
    summary.total, summary.earlier = 10_000, 9_000
    display.show(InputsFound(10_000, 9_000))
    for event in events:
        now[0] += 0 if event.earlier else 10
        summary.add(event)
        display.show(event)
    display._view.stop()
    [task] = display._progress.tasks
    assert (task.completed, task.speed, task.time_remaining) == (9_500, 10.0, 50.0)
    said: list[str] = []
    monkeypatch.setattr(display, "say", lambda text="": said.append(text))
    summary.tell(display)
    assert said[-1].startswith("out.csv: 9,500 rows in 50.0 s, 10.0 images/s once loaded.")
    assert "9,500  0.jpg: truncated; 1.jpg: truncated; 2.jpg: truncated; and 9,497 more" in "".join(said)
    assert len(summary._first_skipped) == 3
