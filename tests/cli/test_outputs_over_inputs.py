"""No command writes over a file that it reads, under any name or link of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .conftest import Run

FORCED = ("--overwrite", "--format", "csv")


@pytest.fixture(autouse=True)
def here(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with photos, labels of two kinds, prompts, and settings."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, "p")
    shutil.make_archive("z", "zip", "p")
    Path("labels.csv").write_text("label\ncat\ndog\n")
    Path("l.txt").write_text("cat\ndog\n")
    Path("prompts.txt").write_text("a {}.\n")
    Path("settings.yaml").write_text("top_k: 1\n")
    Path("list.txt").write_text("p/a.jpg\n")
    os.symlink("l.txt", "link.csv")
    os.symlink("p/a.jpg", "photo.csv")
    os.link("p/b.png", "hard.csv")


@pytest.mark.parametrize(
    ("output", "data"),
    [
        *(
            ("labels.csv", "p"),
            ("p/a.jpg", "p"),
            ("p/a.jpg", "p/a.jpg"),
            ("p/a.jpg", "@list.txt"),
            ("p/a.jpg", "p/*.jpg"),
        ),
        *(("z.zip", "z.zip"), ("list.txt", "@list.txt"), ("prompts.txt", "p"), ("settings.yaml", "p")),
        *(("photo.csv", "p"), ("hard.csv", "p"), ("./p/../labels.csv", "p")),
    ],
)
def test_classify_does_not_write_over_what_it_reads(run: Run, model: str, output: str, data: str) -> None:
    before = Path(output).read_bytes()
    flags = ("--labels", "labels.csv", "--prompts", "prompts.txt", "--config", "settings.yaml", "--model", model)
    done = run("classify", data, *flags, "-o", output, *FORCED)
    assert (done.code, done.out) == (2, "")
    assert f"--output {output} is read by this command, and would be written over; give another" in done.err
    assert Path(output).read_bytes() == before


@pytest.mark.parametrize("output", ["l.txt", "link.csv", "prompts.txt", "settings.yaml"])
def test_build_classifier_does_not_write_over_what_it_reads(run: Run, model: str, output: str) -> None:
    before = Path(output).read_bytes()
    flags = ("--labels", "l.txt", "--prompts", "prompts.txt", "--model", model)
    done = run("build-classifier", *flags, "--config", "settings.yaml", "-o", output, "--overwrite")
    # The settings are those of another command, but they are not written over either.
    assert done.code == 2
    assert Path(output).read_bytes() == before


def test_weights_are_not_written_over(run: Run, model: str) -> None:
    shutil.copytree(model, "m")
    done = run("classify", "p", "--labels", "l.txt", "--model", "m", "-o", "m/open_clip_config.json", *FORCED)
    assert (done.code, "is read by this command" in done.err) == (2, True)


def test_evaluate_does_not_write_over_what_it_compares_with(run: Run, model: str) -> None:
    for name in ("cat", "dog"):
        shutil.copytree("p", f"tree/{name}", ignore=shutil.ignore_patterns("*.txt"))
    assert run("evaluate", "tree", "--model", model, "-o", "out").code in (0, 3)
    before = Path("out/predictions.csv").read_bytes()
    done = run("evaluate", "tree", "--model", model, "--compare", "out/predictions.csv", "-o", "out", "--overwrite")
    assert (done.code, "out/predictions.csv is read by this command" in done.err) == (2, True)
    assert Path("out/predictions.csv").read_bytes() == before


def test_rows_go_where_no_label_file_is(run: Run, model: str) -> None:
    assert run("classify", "p/a.jpg", "--labels", "labels.csv", "--model", model, "--overwrite").code == 0
    assert Path("labels.csv").read_text() == "label\ncat\ndog\n"
    assert Path("predictions.csv").read_text().startswith("path,label,score,error\n")
