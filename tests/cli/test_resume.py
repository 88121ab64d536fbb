"""`clipcli classify --resume`: wherever a run was killed, the output is that of a run which never was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from clipcli.cli import main
from clipcli.files.atomic import part_of, parts_of
from clipcli.files.locks import lock_file
from clipcli.files.manifest import manifest_path, manifests_without_parts, read_manifest, write_manifest
from clipcli.outputs import WRITERS
from clipcli.outputs.open import Output
from clipcli.records import ModelRecord, Row

FORMATS = list(WRITERS)
# Run by a process of its own: writes so many batches, and is killed in the middle of the next.
KILLED = """
import os, signal, sys
from clipcli.cli import main
from clipcli.outputs.open import Output

write, left = Output.write, [int(sys.argv[1])]

def killed(self, rows):
    if not left[0]:
        write(self, rows[:1])
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    write(self, rows)

Output.write = killed
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
    manifest = read_manifest(left)
    assert (manifest.state, manifest.sha256, manifest.model.device) == ("running", None, "cpu")
    said = classify(output, "--resume")
    assert f"Going on after {4 * batches + 1} of 23 images." in said
    assert f"{output}: 23 rows in" in said
    classify(f"whole.{format}")
    assert content(output) == content(f"whole.{format}")
    assert not left.exists()
    assert not manifest_path(left).exists()
    finished = read_manifest(Path(output))
    assert (finished.state, finished.rows, finished.begun) == ("complete", 23, manifest.begun)


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What a kill would leave after each batch."""
    taken: list[bytes] = []
    write = Output.write

    def and_keep(self: Output, rows: Sequence[Row]) -> None:
        write(self, rows)
        taken.append(Path(self._part).read_bytes())

    monkeypatch.setattr(Output, "write", and_keep)
    return taken


@pytest.mark.parametrize("format", FORMATS)
def test_wherever_it_is_cut_the_output_is_the_same(classify: Command, format: str, snapshots: list[bytes]) -> None:
    whole, output = f"whole.{format}", f"out.{format}"
    classify(whole, "--top-k", "2")
    manifest = read_manifest(Path(whole))
    one, *_, two, last = snapshots
    cuts = [one[:30], one[:-1], snapshots[2], two[:-9], last[:-1], last]
    for cut in cuts:
        part = part_of(Path(output).resolve())
        part.write_bytes(cut)
        write_manifest(part, manifest)
        classify(output, "--top-k", "2", "--resume", "--quiet")
        assert content(output) == content(whole)
        Path(output).unlink()
        # Too short to hold a row, it was no run to go on with.
        part.unlink(missing_ok=True)
        manifest_path(part).unlink(missing_ok=True)
    assert parts_of(Path(output).resolve()) == manifests_without_parts(Path(output).resolve()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_after_an_interruption_the_output_itself_is_gone_on_with(
    classify: Command, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = f"out.{format}"
    write = Output.write

    def interrupted(self: Output, rows: Sequence[Row]) -> None:
        write(self, rows)
        if self._rows == 16:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", interrupted)
        patch.setattr(os, "_exit", sys.exit)
        assert "Stopped after 12 of 23 images" in classify(output, code=130)
    before = content(output)
    with monkeypatch.context() as patch:
        # An interruption while the old rows are copied leaves them.
        patch.setattr(Output, "write", lambda *_: signal.raise_signal(signal.SIGINT))
        patch.setattr(os, "_exit", sys.exit)
        said = classify(output, "--resume", code=130)
    assert "Stopped before a new row; the 16 earlier rows are where they were." in said
    assert content(output) == before
    manifest = read_manifest(Path(output))
    assert (manifest.state, manifest.rows, manifest.provenance.images) == ("interrupted", 16, 23)
    assert "Going on after 16 of 23 images." in classify(output, "--resume")
    classify(f"whole.{format}")
    assert content(output) == content(f"whole.{format}")
    assert parts_of(Path(output).resolve()) == []


def test_a_complete_output_is_left_as_it_is(classify: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    classify("out.csv")
    files = [Path("out.csv"), Path("out.csv.json")]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    monkeypatch.setattr(
        "clipcli.commands.classify.run._label_images", lambda *_, **__: pytest.fail("no model is needed")
    )
    said = classify("out.csv", "--resume")
    assert "out.csv: complete, an earlier run had labelled all 23 images." in said
    assert "skipped" in said
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


def test_what_a_run_went_on_with_goes_though_it_was_killed_once_its_output_was_there(classify: Command) -> None:
    classify("out.csv")
    files = {path: path.read_bytes() for path in (Path("out.csv"), Path("out.csv.json"))}
    part = as_killed("out.csv", rows=7)
    for path, data in files.items():
        path.write_bytes(data)
    assert "complete" in classify("out.csv", "--resume")
    assert not part.exists()
    assert not manifest_path(part).exists()
    assert {path: path.read_bytes() for path in files} == files


def test_a_run_killed_at_its_very_end_is_put_in_place(classify: Command) -> None:
    classify("out.csv")
    whole = Path("out.csv").read_bytes()
    part = as_killed("out.csv")
    assert "complete" in classify("out.csv", "--resume")
    assert Path("out.csv").read_bytes() == whole
    assert read_manifest(Path("out.csv")).state == "complete"
    assert not part.exists()
    assert not manifest_path(part).exists()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("after", ["write_manifest", "put_in_place"])
def test_a_kill_while_it_is_put_in_place_loses_nothing(
    classify: Command, format: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest has its name and the output not yet, or both have and the hidden files are still there."""
    import clipcli.outputs.open as opening

    output = f"out.{format}"
    classify(f"whole.{format}")
    classify(output, "--score", "cosine")
    step, calls = getattr(opening, after), []

    def killed(file: Path, *rest: object) -> None:
        step(file, *rest)
        calls.append(file)
        if after == "put_in_place" or file == Path(output).resolve():
            raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(opening, after, killed)
        # As a process leaves a file that it was killed in: nothing is tidied up.
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        patch.setattr(os, "_exit", sys.exit)
        classify(output, "--overwrite", code=9)
    assert calls
    said = classify(output, "--resume")
    assert "complete" in said
    assert content(output) == content(f"whole.{format}")
    assert read_manifest(Path(output)).sha256 is not None
    assert "complete" in classify(output, "--resume")


def as_killed(output: str, rows: int | None = None) -> Path:
    """The hidden file that a run to this output leaves if it is killed after so many rows of text, or after all."""
    path = Path(output)
    part, manifest = part_of(path.resolve()), read_manifest(path)
    if rows is None:
        path.rename(part)
    else:
        part.write_bytes(b"".join(line + b"\n" for line in path.read_bytes().split(b"\n")[: rows + 1]))
        path.unlink()
    manifest_path(path).unlink()
    write_manifest(part, manifest)
    return part


def test_with_nothing_to_resume_it_starts(classify: Command) -> None:
    assert "out.csv: 23 rows in" in classify("out.csv", "--resume")


@pytest.mark.parametrize(
    ("inputs", "more", "message"),
    [
        ("@list.txt", "--prompts 0{}0", "was begun otherwise: --prompts was imagenet and is 0{}0; give that again"),
        ("@list.txt", "--score cosine", "was begun otherwise: --score was auto and is cosine; give that again"),
        ("@list.txt", "--top-k 2 --decode fast", "--top-k was 1 and is 2; --decode was exact and is fast; give"),
        ("@list.txt", "--format jsonl", "was begun with --format csv; give that"),
        ("@list.txt", "--labels others.txt", "--labels was cat, dog, beach and 1 more and is tree, house; give"),
        ("@list.txt", "--labels aliases.csv", "--labels gave other aliases or descriptions of 'dog'; give"),
        ("@list.txt", "--precision bf16", "--precision was auto and is bf16; give"),
        ("@list.txt", "--device cpu", "--device was auto and is cpu; give"),
        ("@list.txt", "--model tiny", " and is tiny; give"),
        ("@short.txt", "", "has more rows than the 5 images of the inputs"),
        ("photos/d.jpg", "", "is of other inputs: its row 1 is "),
        ("@list.txt", "--overwrite", "drop one of them"),
        ("@list.txt", "--keep-columns who", "no table has a column 'who'; there is no table among the inputs"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_touched(
    classify: Command, images: Path, inputs: str, more: str, message: str
) -> None:
    classify("out.csv")
    part = as_killed("out.csv", 14)
    before = part.read_bytes()
    Path("others.txt").write_text("tree\nhouse\n")
    Path("aliases.csv").write_text("label,aliases\ncat,\ndog,hound\nbeach,\nmountain,\n")
    Path("short.txt").write_bytes(b"\n".join(images.read_bytes().split(b"\n")[:5]))
    classify.arguments[1] = inputs
    said = classify("out.csv", "--resume", *more.split(), code=2)
    assert message in said.splitlines()[-1]
    assert part.read_bytes() == before
    assert not Path("out.csv").exists()
    assert parts_of(Path("out.csv").resolve()) == [part]


def test_what_changes_no_row_may_be_another_one(classify: Command, labels: Path) -> None:
    classify("whole.csv")
    classify("out.csv")
    as_killed("out.csv", 14)
    shutil.copy(labels, "same.txt")
    classify.arguments.remove("--no-cache")
    more = (
        "--labels",
        "same.txt",
        "--workers",
        "2",
        "--verify",
        "--cache-size",
        "90MB",
        "--quiet",
        "--batch-size",
        "4",
    )
    classify("out.csv", "--resume", *more)
    assert content("out.csv") == content("whole.csv")


def test_other_weights_under_the_same_name_are_refused(
    classify: Command, models: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(models["vit"], tmp_path / "mine")
    classify.arguments += ["--model", str(folder)]
    classify("out.csv")
    part = as_killed("out.csv", 14)
    before = part.read_bytes()
    state = load_file(folder / "open_clip_model.safetensors")
    state["logit_scale"] += 1
    save_file(state, folder / "open_clip_model.safetensors")
    said = classify("out.csv", "--resume", code=2)
    assert f"was begun otherwise: the weights of {folder} were others (fingerprint " in said
    shutil.copy(models["vit"] / "open_clip_model.safetensors", folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.3, 0.3, 0.3]
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    said = classify("out.csv", "--resume", code=2)
    assert f"the preprocessing of {folder} was another" in said
    assert part.read_bytes() == before
    assert not Path("out.csv").exists()
    assert parts_of(Path("out.csv").resolve()) == [part]


def test_another_classifier_is_refused(classify: Command, model: str, labels: Path) -> None:
    for name, prompts in (("one.safetensors", "plain"), ("two.safetensors", "imagenet-7")):
        with pytest.raises(SystemExit):
            main(["build-classifier", "--labels", str(labels), "--model", model, "--prompts", prompts, "-o", name])
    classify.arguments = ["classify", "@list.txt", "--batch-size", "4", "--classifier", "one.safetensors"]
    classify("out.csv")
    as_killed("out.csv", 14)
    said = classify("out.csv", "--resume", "--classifier", "two.safetensors", code=2)
    assert "was begun otherwise: --classifier was another, of the same labels; give that again" in said
    shutil.copy("one.safetensors", "copy")
    assert "Going on after 14 of 23 images." in classify("out.csv", "--resume", "--classifier", "copy")


def test_an_output_without_a_manifest_is_not_gone_on_with(classify: Command) -> None:
    classify("out.csv", "--no-manifest")
    assert not Path("out.csv.json").exists()
    said = classify("out.csv", "--resume", code=2)
    assert said == (
        "clipcli: out.csv has no manifest (out.csv.json), so nothing says how its rows were made; "
        "start anew with --overwrite in place of --resume\n"
    )


def test_a_killed_run_that_leaves_no_manifest_is_gone_on_with(classify: Command) -> None:
    killed = [sys.executable, "-c", KILLED, "3", *classify.arguments, "--output", "out.csv", "--no-manifest"]
    assert subprocess.run(killed, capture_output=True, timeout=120).returncode == -signal.SIGKILL
    classify("out.csv", "--resume", "--no-manifest")
    classify("whole.csv")
    assert content("out.csv") == content("whole.csv")
    assert [path.name for path in Path().iterdir() if "out.csv" in path.name] == ["out.csv"]


def test_an_output_that_was_changed_is_not_gone_on_with(classify: Command) -> None:
    classify("out.csv")
    before = Path("out.csv").read_bytes()
    Path("out.csv").write_bytes(before.replace(b"photos/b.png", b"photos/x.png"))
    said = classify("out.csv", "--resume", code=2)
    assert "out.csv is not the file that its manifest (out.csv.json) tells of, or was changed" in said


def test_more_images_at_the_end_are_labelled(classify: Command, images: Path) -> None:
    every = images.read_bytes()
    images.write_bytes(b"\n".join(every.split(b"\n")[:14]))
    classify("out.csv")
    images.write_bytes(every)
    assert "Going on after 14 of 23 images." in classify("out.csv", "--resume")
    classify("whole.csv")
    assert content("out.csv") == content("whole.csv")
    assert read_manifest(Path("out.csv")).rows == 23


def test_a_model_that_only_its_cache_was_asked_for_is_where_it_last_ran() -> None:
    from clipcli.cli.classify_rows import _latest_model

    on_cpu = ModelRecord("tiny", "abcd", "64 pixels", "fp32", "cpu")
    nowhere, on_cuda = replace(on_cpu, device=None), replace(on_cpu, device="cuda")
    assert (_latest_model(None, nowhere), _latest_model(nowhere, on_cpu)) == (nowhere, on_cpu)
    assert [_latest_model(on_cpu, latest) for latest in (nowhere, on_cuda, None)] == [on_cpu, on_cuda, on_cpu]


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


def test_rows_of_a_killed_run_are_gone_once_they_are_replaced(classify: Command) -> None:
    classify("out.csv")
    part = part_of(Path("out.csv").resolve())
    part.write_text("path,label,score,error\nphotos/a.jpg,cat,0.5,\n")
    manifest_path(part).write_text("{}")
    alive = part_of(Path("out.csv").resolve())
    alive.write_text("path,label,score,error\n")
    held = lock_file(alive)
    classify("out.csv", "--overwrite")
    assert not part.exists()
    assert not manifest_path(part).exists()
    assert alive.exists()
    os.close(held)


def test_the_rate_and_the_bar_leave_earlier_rows_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from clipcli.cli import clock
    from clipcli.cli.classify_summary import Summary
    from clipcli.cli.display import Display
    from clipcli.events import InputsFound, RowsReady

    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    display, summary = Display(quiet=False, verbose=False), Summary("out.csv")
    display._bars.get_time = lambda: now[0]
    skipped = tuple(Row(f"{n}.jpg", (), (), "truncated") for n in range(99))
    rows = (*skipped, Row("99.jpg", ("cat",), (0.5,)))
    events = [RowsReady(rows, earlier=True)] * 90 + [RowsReady(rows)] * 5
    for shown in (summary.add, display.show):
        shown(InputsFound(10_000, 9_000))
    for event in events:
        now[0] += 0 if event.earlier else 10
        summary.add(event)
        display.show(event)
    display._view.stop()
    [task] = display._bars.tasks
    assert (task.completed, task.speed, task.time_remaining) == (9_500, 10.0, 50.0)
    said: list[str] = []
    monkeypatch.setattr(display, "say", lambda text="", **_: said.append(str(text)))
    clock.begin(0.0)
    summary.show(display)
    # Of the 500 images of this run 5 have a label.
    assert said[-1] == "out.csv: 9,500 rows in 50.0 s, 0.1 images/s once loaded."
    assert [line.split() for line in said if "skipped" in line] == [["skipped", "9,405", "99.0", "%"]]
    assert "   9,405 such as 0.jpg: truncated" in said


@pytest.mark.parametrize("wide", [[], ["--wide"]])
def test_rows_of_several_labels_are_gone_on_with(
    classify: Command, wide: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of random weights, which score low everywhere.
    classify.arguments += ["--prompts", "plain", "--multi-label", "--multi-label-at", "0.015", *wide]
    write = Output.write

    def interrupted(self: Output, rows: Sequence[Row]) -> None:
        write(self, rows)
        if self._rows == 16:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", interrupted)
        patch.setattr(os, "_exit", sys.exit)
        classify("out.csv", code=130)
    said = classify("out.csv", "--resume", "--multi-label-at", "0.02", code=2)
    assert "--multi-label-at was 0.015 and is 0.02" in said
    assert "Going on after 16 of 23 images." in classify("out.csv", "--resume")
    said = classify("whole.csv")
    assert content("out.csv") == content("whole.csv")
    assert "labels an image; an image counts for each of its labels" in said
    assert "clipcli evaluate whole.csv" in said
    assert "--prompts plain --multi-label --multi-label-at 0.015 --allow-empty" in " ".join(said.split())
