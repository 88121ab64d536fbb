"""`classify --cluster ray`: a local Ray with two workers gives the bytes of one process, also if workers are killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from clipcli.cli import main
from clipcli.commands.classify import on_ray
from clipcli.commands.classify.on_ray import run_on_ray
from clipcli.commands.classify.settings import ClassifySettings, RowsFile, check_cluster
from clipcli.errors import OutputExists, UsageError
from clipcli.events import RowsReady
from clipcli.outputs.shards import number_of

SCRIPT = Path(__file__).with_name("ray_script.py")
ENDED = "decoding it ends the process, or takes more memory than there is"


@pytest.fixture
def given(photos: Path, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The command to label ten images, among them one that is broken and one whose name is not UTF-8."""
    pytest.importorskip("ray", reason="a cluster needs Ray; run pip install 'ray[data]'")
    monkeypatch.chdir(tmp_path)
    shutil.copy(photos / "b.png", os.fsdecode(b"photos/not-utf-8-\xff.png"))
    (photos / "broken.jpg").write_bytes(b"broken")
    how = (
        "--labels",
        "cat, dog",
        "--model",
        model,
        "--no-cache",
        "--batch-size",
        "4",
        "--precision",
        "fp32",
        "--quiet",
    )
    return ("classify", "photos", *how)


def run(*arguments: str) -> None:
    """Run a command in this process."""
    with pytest.raises(SystemExit):
        main(list(arguments))


def on_a_cluster(folder: Path, *arguments: str) -> int:
    """The exit code of a command on a local Ray of two workers, in a process of its own."""
    command = [sys.executable, str(SCRIPT), str(folder), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, timeout=480, env=environment).returncode


@pytest.fixture
def without_ray(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The command, with a cluster whose workers give no row."""
    monkeypatch.chdir(photos.parent)
    monkeypatch.setattr(on_ray, "imported_ray", lambda: None)
    monkeypatch.setattr(on_ray, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(on_ray, "in_words", lambda _: "no machine")
    monkeypatch.setattr(on_ray, "_labelled", lambda *_, **__: iter(()))
    return ("classify", "photos", "--labels", "cat, dog", "--model", model, "--no-cache", "--precision", "fp32")


def test_a_whole_output_is_not_made_again(without_ray: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    run(*without_ray, "-o", "rows.csv")
    before = Path("rows.csv").read_bytes()
    capsys.readouterr()
    run(*without_ray, "-o", "rows.csv", "--cluster", "ray", "--resume")
    assert "complete, an earlier run had labelled all 6 images" in capsys.readouterr().err
    run(*without_ray, "--labels", "cat, fish", "-o", "rows.csv", "--cluster", "ray", "--resume")
    assert "rows.csv was begun otherwise: " in capsys.readouterr().err
    assert Path("rows.csv").read_bytes() == before


def test_files_that_cannot_be_open_at_once_are_said_before_the_work(
    without_ray: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(count: int) -> None:
        raise UsageError(f"{count} parts are read at once")

    monkeypatch.setattr(on_ray, "allow_open_files", refuse)
    run(*without_ray, "-o", "rows.csv", "--cluster", "ray")
    assert "1 parts are read at once" in capsys.readouterr().err
    assert not Path("rows.csv.parts").exists()


def test_workers_that_all_fail_end_the_run(
    without_ray: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blocks were tried, and then the images alone."""
    tried: list[tuple[int, int]] = []

    def no_row(places: Sequence[int], *_: object, at_once: int) -> Iterator[object]:
        tried.append((len(places), at_once))
        return iter(())

    monkeypatch.setattr(on_ray, "_labelled", no_row)
    run(*without_ray, "-o", "rows.csv", "--cluster", "ray")
    assert "clipcli: the workers gave not one row; check that all machines have clipcli" in capsys.readouterr().err
    assert tried == [(6, 64), (6, 1)]
    assert not Path("rows.csv").exists()


@pytest.mark.slow
def test_a_cluster_gives_the_bytes_of_one_process(tmp_path: Path, given: tuple[str, ...]) -> None:
    """One of the two workers is killed in the middle; and of two parts one is there, and is not done again."""
    shutil.copy("photos/b.png", "photos/kill.png")
    run(*given, "-o", "one.csv")
    Path("ray.csv.parts").mkdir()
    run(*given, "--shard", "0/2", "-o", "ray.csv.parts/part-0-of-2.parquet")
    assert on_a_cluster(tmp_path, *given, "-o", "ray.csv", "--cluster", "ray", "--resume") == 3
    assert Path("ray.csv").read_bytes() == Path("one.csv").read_bytes()
    assert not Path("ray.csv.parts").exists()
    assert len(Path("killed").read_text().split()) == 1
    names = [line.split(b",")[0] for line in Path("one.csv").read_bytes().splitlines()[1:]]
    todo = {name for name in names if number_of(os.fsdecode(name), 2) == 1}
    assert set(Path("decoded").read_bytes().splitlines()) == todo
    assert 0 < len(todo) < len(names)


@pytest.mark.slow
def test_an_image_that_ends_each_process_costs_its_row(tmp_path: Path, given: tuple[str, ...]) -> None:
    shutil.copy("photos/b.png", "photos/poison.png")
    run(*given, "-o", "one.csv")
    assert on_a_cluster(tmp_path, *given, "-o", "ray.csv", "--cluster", "ray") == 3
    one = Path("one.csv").read_bytes()
    [poisonous] = [line for line in one.splitlines() if b"poison" in line]
    assert Path("ray.csv").read_bytes() == one.replace(poisonous, f'photos/poison.png,,,"{ENDED}"'.encode())
    # Twice in a block with others, and twice alone.
    assert len(set(Path("killed").read_text().split())) == 4


def test_parts_of_an_earlier_run_are_not_replaced(given: tuple[str, ...]) -> None:
    Path("ray.csv.parts").mkdir()
    run(*given, "--shard", "0/1", "-o", "ray.csv.parts/part-0-of-1.parquet")
    settings = {"labels": "cat, dog", "model": given[5], "cache": False, "batch_size": 4, "precision": "fp32"}
    options = ClassifySettings(inputs="photos", **settings)
    with pytest.raises(
        OutputExists, match=r"ray.csv.parts has parts of an earlier run; go on with --resume, or remove"
    ):
        list(run_on_ray(options, cluster="ray", output="ray.csv", resume=False))
    other = ClassifySettings(inputs="photos", **settings, top_k=2)
    with pytest.raises(UsageError, match=r"part-0-of-1.parquet was made otherwise: --top-k was 1 and is 2; give that"):
        list(run_on_ray(other, cluster="ray", output="ray.csv", resume=True))
    # With all parts there no cluster is needed.
    events = list(run_on_ray(options, cluster="ray", output="ray.csv", resume=True))
    assert sum(len(event.rows) for event in events if isinstance(event, RowsReady)) == 8


REFUSED = [
    ({"cluster": "slurm"}, {}, "--cluster slurm is no cluster; give ray, or an address such as ray://host:10001"),
    ({"cluster": "ray", "update": True}, {}, "--update and --cluster do not go together; drop one of them"),
    ({"cluster": "ray", "report": "a.html"}, {}, "--report and --cluster do not go together"),
    ({"cluster": "ray"}, {"shard": "0/2"}, "--shard and --cluster do not go together"),
    ({"cluster": "ray", "output": "-"}, {}, "a cluster leaves its parts beside the output, so it must be a file"),
]


@pytest.mark.parametrize(("file", "settings", "message"), REFUSED)
def test_what_a_cluster_does_not_do(file: dict[str, object], settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_cluster(ClassifySettings(inputs="photos", labels="cat", **settings), RowsFile(**file))
    assert str(raised.value).startswith(message)
