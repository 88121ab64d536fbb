"""Each command with only its required arguments: what it writes, where it says it, how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import ANY

import pandas as pd
import pytest
from PIL import Image

from clipcli.backbones import DEFAULT_MODEL, bundled
from clipcli.backbones.runtime import choose_runtime
from clipcli.cli.columns import format_size
from clipcli.encoding.engines import store
from clipcli.encoding.engines.store import Verdict
from clipcli.errors import install

from .conftest import Run


def test_classify_writes_predictions_csv(run: Run, photos: Path, labels: Path, model: str) -> None:
    done = run("classify", photos.name, "--labels", labels, "--model", model)
    assert (done.code, done.out) == (0, "")
    table = pd.read_csv("predictions.csv")
    assert list(table.columns) == ["path", "label", "score", "error"]
    assert list(table.path) == [
        f"photos/{name}" for name in ("a.jpg", "b.png", "c.webp", "d.jpg", "e.bmp", "more/f.jpg")
    ]
    assert set(table.label) <= {"cat", "dog", "beach", "mountain"}
    assert table.score.between(0.25, 1).all()
    assert table.error.isna().all()


def test_classify_says_how_it_runs_and_what_came_of_it(run: Run, photos: Path, labels: Path, model: str) -> None:
    (photos / "x.jpg").write_text("not an image")
    done = run("classify", photos, "--labels", labels, "--model", model, "--precision", "fp32", "--workers", "2")
    assert done.code == 3
    size = (Path(model) / "open_clip_model.safetensors").stat().st_size
    assert f"Loading {model} ({format_size(size)})\n{model} on cpu in fp32 (as asked), 2 decode threads\n" in done.err
    assert re.search(rf"\n skipped +1  14.3 %\n   {photos}/x.jpg: not an image\n", done.err)
    assert re.search(r"\npredictions.csv: 7 rows in \d+\.\d s, [\d,]+\.\d images/s once loaded\.\n", done.err)
    assert re.search(r"\n label +images +share  mean score\n \w+ +\d+ +\d\d\.\d % +0\.\d{3}  █{28}\n", done.err)
    look, *rows = done.err.split("Look at these first, ")[1].splitlines()[:4]
    lowest = pd.read_csv("predictions.csv").nsmallest(3, "score")
    assert look == "their scores are lowest:"
    expected = zip(lowest.score, lowest.label, lowest.path, strict=True)
    assert [row.split() for row in rows] == [[f"{score:.3f}", label, path] for score, label, path in expected]
    assert done.err.endswith(
        f"\n  clipcli evaluate predictions.csv --labels {labels} --model {model} --precision fp32 --allow-empty\n"
    )


def test_classify_to_stdout_keeps_it_clean(run: Run, photos: Path, labels: Path, model: str) -> None:
    done = run("classify", photos, "--labels", labels, "--model", model, "--output", "-", "--format", "jsonl")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [list(row) for row in rows] == [["path", "label", "score", "error"]] * 6
    assert not Path("predictions.csv").exists()


def test_quiet_says_nothing(run: Run, photos: Path, labels: Path, model: str) -> None:
    done = run("classify", photos, "--labels", labels, "--model", model, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_top_k_and_parquet(run: Run, photos: Path, labels: Path, model: str) -> None:
    done = run("classify", photos, "--labels", labels, "--model", model, "--top-k", "2", "-o", "two.parquet")
    assert done.code == 0
    table = pd.read_parquet("two.parquet")
    assert list(table.columns) == ["path", "label", "score", "label_2", "score_2", "error"]
    assert (table.score >= table.score_2).all()


def test_an_output_that_exists_is_kept(run: Run, photos: Path, labels: Path, model: str) -> None:
    Path("predictions.csv").write_text("precious")
    done = run("classify", photos, "--labels", labels, "--model", model)
    assert (done.code, Path("predictions.csv").read_text()) == (2, "precious")
    assert done.err == (
        "clipcli: predictions.csv exists; "
        "give another --output, --update to bring it up to date, --resume to go on with its rows, or --overwrite to "
        "replace it\n"
    )
    assert run("classify", photos, "--labels", labels, "--model", model, "--overwrite").code == 0
    assert len(pd.read_csv("predictions.csv")) == 6


def test_build_classifier_then_classify(run: Run, photos: Path, labels: Path, model: str) -> None:
    run("classify", photos, "--labels", labels, "--model", model, "-o", "by-labels.csv")
    done = run("build-classifier", "--labels", labels, "--model", model)
    assert (done.code, done.out) == (0, "")
    assert "classes.safetensors: 4 classes of 16 dimensions" in done.err
    assert run("classify", photos, "--classifier", "classes.safetensors", "-o", "by-classifier.csv").code == 0
    assert Path("by-classifier.csv").read_text() == Path("by-labels.csv").read_text()


def test_prompts(run: Run) -> None:
    done = run("prompts")
    assert done.code == 0
    assert any(line.startswith("imagenet-7") for line in done.out.splitlines())
    assert run("prompts", "pets").out == "a photo of a {}, a type of pet.\n"
    assert len(run("prompts", "imagenet").out.splitlines()) == 80


def test_models(run: Run, model: str) -> None:
    listed = run("models")
    assert listed.code == 0
    assert any(line.split()[:2] == ["ViT-B-32/openai", "151.3"] for line in listed.out.splitlines())
    assert "256×256 pixels" in run("models", "ViT-B-32-256/datacomp_s34b_b86k").out
    assert "hf-hub:timm/vit_base_patch32_clip_224.openai" in run("models", "ViT-B/32").out
    assert "32 tokens" in run("models", model).out
    assert "15.8 M" in (of_tiny := run("models", "tiny").out)
    assert "## Trained on" in of_tiny
    of_one = run("models", "ViT-B-32").out.splitlines()[1:]
    assert all(line.startswith("ViT-B-32/") for line in of_one)


def test_models_begins_with_a_guide(run: Run) -> None:
    lines = run("models").out.splitlines()
    guide = lines[: lines.index("All models")]
    assert max(map(len, lines[: lines.index("All models")])) <= 80
    assert guide[:2] == [
        "                                            size  memory  images  top-1",
        "for        model                              GB      GB      /s      %  licence",
    ]
    tiny, *rows = [line.split() for line in guide[2:7]]
    weights = bundled.folder("tiny") / "open_clip_model.safetensors"
    assert (tiny[:3], tiny[4:]) == (["bundled", "tiny", f"{weights.stat().st_size / 1e9:.2f}"], ["-", "-", "own"])
    two_bytes = choose_runtime().precision != "fp32"
    assert rows == [
        ["fast", "ViT-B-32/datacomp_xl_s13b_b90k", "0.61", "0.30" if two_bytes else "0.61", "-", "69.2", "MIT"],
        ["default", "*", DEFAULT_MODEL, "0.61", "0.30" if two_bytes else "0.61", "-", "72.8", "MIT"],
        ["best", "ViT-H-14-378-quickgelu/dfn5b", "3.95", "1.97" if two_bytes else "3.95", "-", "84.4", "Apple"],
        ["languages", "ViT-B-16-SigLIP-i18n-256/webli", "1.48", "0.74" if two_bytes else "1.48", "-", "75.1", "Apache"],
    ]
    assert "images/s   - is not measured yet; do it with clipcli models --measure" in guide
    assert "size  memory" not in run("models", "--cached").out


def test_models_measures_what_the_memory_holds_and_remembers_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcli.encoding.speed.images_per_second", lambda _: 1234.4)
    monkeypatch.setattr("clipcli.backbones.devices.free_memory", lambda: 5 * 10**8)
    done = run("models", "--measure")
    assert (done.code, "All models" in done.out) == (0, False)
    assert done.err.splitlines() == [
        "Measuring tiny …",
        *(
            f"clipcli: {name} is not measured: it needs {needed} GB of memory, and 0.5 GB are free"
            for name, needed in (
                ("ViT-B-32/datacomp_xl_s13b_b90k", 0.6),
                (DEFAULT_MODEL, 0.6),
                ("ViT-H-14-378-quickgelu/dfn5b", 3.9),
                ("ViT-B-16-SigLIP-i18n-256/webli", 1.5),
            )
        ),
    ]
    shown = run("models").out.splitlines()
    assert [line.split()[-3] for line in shown[2:7]] == ["1,234", "-", "-", "-", "-"]
    assert any(line.startswith("images/s   of the model alone, on ") for line in shown)
    assert re.search(r"speeds +1 entries", run("cache").out)


def test_the_guide_says_what_a_model_needs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert f" languages needs {install('transformers', 'sentencepiece')}\n" in run("models").out


@pytest.mark.parametrize("beside", ["tiny", "--cached"])
def test_measuring_is_of_the_guide_alone(run: Run, beside: str) -> None:
    done = run("models", beside, "--measure")
    assert (done.code, done.out) == (2, "")
    assert done.err == "clipcli: --measure measures the models of the guide; leave out M and --cached\n"


def test_a_model_card_is_shown(run: Run, model: str, tmp_path: Path) -> None:
    folder = shutil.copytree(model, tmp_path / "mine")
    without = run("models", folder).out
    (folder / "README.md").write_text("# Mine\n\nKnows cats.\x1b[2J\n\n", encoding="utf-8")
    assert run("models", folder).out == f"{without}\n# Mine\n\nKnows cats.\ufffd[2J\n"


def test_cache(run: Run, labels: Path, model: str) -> None:
    assert run("cache").code == 0
    run("build-classifier", "--labels", labels, "--model", model)
    assert [line.split()[:4] for line in run("cache").out.splitlines()[:2]] == [
        ["class", "embeddings", "4", "entries"],
        ["models", "1", "entries", ANY],
    ]
    assert run("cache", "clear").out.startswith("removed 5 entries")
    assert "entries" not in run("cache").out


def test_help_and_version(run: Run) -> None:
    assert run().out == run("--help").out
    assert run("--version").out.startswith("clipcli 0")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("classify nowhere --labels labels.txt", 2, "no such image, folder or list: nowhere"),
        ("classify empty --labels labels.txt", 2, "no images in empty"),
        ("classify texts --labels labels.txt", 2, "no images in texts"),
        ("classify photos", 2, "neither labels nor a classifier"),
        ("classify photos --labels nowhere.txt", 2, "no labels file nowhere.txt"),
        ("classify photos --labels empty.txt", 2, "empty.txt line 1: no labels"),
        ("classify photos --labels labels.txt --output no/where.csv", 2, "no folder no"),
        ("classify photos --labels labels.txt --output folder.csv", 2, "folder.csv is a folder"),
        ("classify photos --labels labels.txt --output empty", 2, "give a file in it, such as empty/predictions.csv"),
        ("classify photos --labels labels.txt --output new/", 2, "new/ is a folder; give a file in it"),
        ("classify photos --labels labels.txt --output x.xml", 2, "give --format csv or jsonl or parquet"),
        ("classify photos --labels labels.txt --format cvs", 2, "unknown --format 'cvs'; choose one of: csv"),
        ("classify photos --labels labels.txt --model ViT-B-33/openai", 2, "did you mean ViT-B-32/openai"),
        ("classify photos --labels labels.txt --model ViT-B-32/openal", 2, "did you mean openai"),
        ("classify photos --labels labels.txt --prompts imagnet", 2, "did you mean imagenet"),
        ("classify photos --labels labels.txt --prompts a_photo", 2, "unknown prompt set"),
        ("classify photos --labels labels.txt --prompts {}-{}", 2, "has 2 {}"),
        ("classify photos --labels labels.txt --device tpu", 2, "unknown --device 'tpu'; choose one of"),
        ("classify photos --labels labels.txt --precision int8", 2, "unknown --precision 'int8'"),
        ("classify photos --labels labels.txt --score best", 2, "unknown --score 'best'"),
        ("classify photos --labels labels.txt --top-k many", 2, "'--top-k'"),
        ("classify photos --labels labels.txt --frobnicate", 2, "no such option: --frobnicate"),
        ("classify", 2, "missing argument 'INPUT'; see clipcli classify --help"),
        ("classfy photos", 2, "no such command 'classfy'"),
        ("build-classifier", 2, "no labels were given"),
        ("build-classifier --labels labels.txt --output -", 2, "cannot go to standard output"),
        ("prompts nowhere", 2, "unknown prompt set 'nowhere'"),
        ("models nowhere", 2, "unknown model 'nowhere'"),
        ("cache burn", 2, "unknown action 'burn'; choose one of: clear"),
    ],
)
def test_bad_input_is_one_line(run: Run, photos: Path, labels: Path, arguments: str, code: int, message: str) -> None:
    assert (photos.name, labels.name) == ("photos", "labels.txt")
    Path("empty").mkdir()
    Path("folder.csv").mkdir()
    Path("empty.txt").touch()
    Path("texts").mkdir()
    Path("texts/readme.md").write_text("no image")
    done = run(*arguments.split())
    [line] = done.err.splitlines()
    assert (done.code, done.out) == (code, "")
    assert line.startswith("clipcli: ")
    assert message in line
    assert not Path("predictions.csv").exists()


def test_a_template_without_a_place_for_the_label(run: Run, photos: Path, labels: Path) -> None:
    done = run("classify", photos, "--labels", labels, "--prompts", "a photo of it")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "has no {}" in done.err


def test_verbose_says_what_was_read_off_the_model(run: Run, photos: Path, labels: Path, model: str) -> None:
    done = run("classify", photos, "--labels", labels, "--model", model, "--verbose")
    assert "32×32 pixels, shortest, bicubic, mean and std 0.481 0.458 0.408" in done.err
    assert "16 dimensions; softmax at scale 14.29; weights " in done.err


def test_verbose_shows_where_an_error_came_from(run: Run, photos: Path) -> None:
    done = run("classify", photos, "--labels", "nowhere.txt", "--verbose")
    assert done.code == 2
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("clipcli: no labels file nowhere.txt; check the path, or give labels")


def start(*arguments: str | Path, **options: object) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "clipcli", *map(str, arguments)], **options)  # type: ignore[call-overload]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_the_rows_so_far(
    tmp_path: Path, labels: Path, model: str, sent: signal.Signals
) -> None:
    from PIL import Image

    Image.effect_mandelbrot((1500, 1500), (-3, -2.5, 2, 2.5), 50).save(tmp_path / "large.png")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/large.png\n" * 5000)
    output = tmp_path / "predictions.csv"
    process = start(
        "classify", f"@{tmp_path}/list.txt", "--labels", labels, "--model", model, "--batch-size", "8",
        "--output", output, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not any(part.read_text().count("\n") >= 17 for part in tmp_path.glob(".predictions.csv.*.part")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    rows = pd.read_csv(output)
    assert 16 <= len(rows) < 5000
    assert f"Stopped after {len(rows):,} of 5,000 images; their rows are in {output}." in err.decode()
    assert list(tmp_path.glob(".predictions.csv.*")) == []


def test_a_full_disk_keeps_what_was_there(photos: Path, labels: Path, model: str) -> None:
    with open("/dev/full", "wb") as full:
        process = start("classify", photos, "--labels", labels, "--model", model, "--output", "-",
                        stdout=full, stderr=subprocess.PIPE)  # fmt: skip
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.decode().splitlines()[-1].startswith("clipcli: cannot write -: No space left on device")


@pytest.mark.slow
def test_a_reader_that_has_had_enough_is_no_error(photos: Path, labels: Path, model: str) -> None:
    process = start(
        "classify", photos, "--labels", labels, "--model", model, "--output", "-",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    said = process.communicate(timeout=60)[1].decode().splitlines()
    assert (process.returncode, said[-1]) == (0, "Stopped: the reader of standard output had enough.")


@pytest.mark.slow
def test_bars_are_drawn_on_a_terminal_and_only_there(photos: Path, labels: Path, model: str) -> None:
    ours, theirs = pty.openpty()
    arguments = ["classify", photos, "--labels", labels, "--model", model, "--output", "-"]
    process = start(*arguments, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    rows = process.communicate(timeout=60)[0].decode()
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert "Labels" in shown.decode()
    assert "6/6" in shown.decode()
    assert rows.startswith("path,label,score,error\n")
    assert len(rows.splitlines()) == 7
    piped = start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE).communicate(timeout=60)
    assert "━" not in piped[1].decode()
    assert piped[0].decode() == rows


def test_classify_decodes_large_jpegs_small_if_asked(run: Run, photos: Path, labels: Path, model: str) -> None:
    large = photos / "large.jpg"
    Image.open(photos / "b.png").resize((800, 700)).save(large, quality=95)
    rows = {}
    for how in ("exact", "fast"):
        done = run("classify", large, "--labels", labels, "--model", model, "--decode", how, "--output", f"{how}.csv")
        assert done.code == 0
        rows[how] = pd.read_csv(f"{how}.csv").iloc[0]
    assert rows["fast"].label == rows["exact"].label
    assert rows["fast"].score == pytest.approx(rows["exact"].score, abs=0.02)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--decode", "quick"], "unknown --decode 'quick'; choose one of: fast, card, exact"),
        (["--engine", "onnx"], "unknown --engine 'onnx'; choose one of: auto, torch, compiled, openvino"),
    ],
)
def test_classify_refuses_other_ways(
    run: Run, photos: Path, labels: Path, model: str, option: list[str], message: str
) -> None:
    done = run("classify", photos, "--labels", labels, "--model", model, *option)
    assert done.code == 2
    assert message in done.err


def test_the_cache_shows_and_clears_converted_models(run: Run) -> None:
    store.keep("key", lambda: (b"x" * 5000, Verdict(1.0, None)))
    assert re.search(r"converted models +1 entries +5\.\d kB", run("cache").out)
    assert "removed 1 converted models from" in run("cache", "clear").out
    assert "converted" not in run("cache").out


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_that_wait_leave_their_cores_unless_told_otherwise(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], spins: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    run("--version")
    assert os.environ.get("GOMP_SPINCOUNT") == spins
