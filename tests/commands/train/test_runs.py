"""Whole runs in processes of their own: killed and resumed, in one process and in two."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

WEIGHTS = "open_clip_model.safetensors"
STEPS = 12
AVERAGED = ("--average", "0.9")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 images with two captions each, one of them cut short."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for n in range(40):
        noise = rng.integers(0, 255, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((40 + n, 60)).save(folder / f"{n:02}.jpg")
        (folder / f"{n:02}.txt").write_text(f"a thing of kind {n % 7}\nthing number {n}\n")
    whole = (folder / "05.jpg").read_bytes()
    (folder / "05.jpg").write_bytes(whole[: len(whole) // 3])
    return folder


def arguments(model: Path, pairs: Path, output: Path, *more: str) -> list[str]:
    """A short run with everything random in it."""
    return [
        *("train", str(pairs), "--output", str(output), "--model", str(model), "--device", "cpu"),
        *("--precision", "fp32", "--steps", str(STEPS), "--batch-size", "8", "--lr", "1e-3", "--crop", "0.6"),
        *("--no-freeze-batch-norm", "--save-every", "3", "--log-every", "1", "--val", str(pairs), "--val-every", "6"),
        *("--keep-every", "6"),
        *more,
    ]


def start(command: list[str], *, processes: int = 1) -> subprocess.Popen[str]:
    """clipcli in a process of its own, or in several."""
    runner = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    launch = [sys.executable, *(runner if processes > 1 else []), "-m", "clipcli", *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        launch, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(command: list[str], *, processes: int = 1) -> str:
    """Run to the end; 3 says that an image was skipped, but not to torchrun, which would take it for a crash."""
    process = start(command, processes=processes)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == (3 if processes == 1 else 0), said
    return said


def steps_logged(run: Path) -> list[int]:
    """The steps in the metrics, in order."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["kind"] == "step"]


def wait_for_step(run: Path, step: int) -> None:
    """Wait until the metrics tell of this step."""
    for _ in range(2400):
        if (run / "metrics.jsonl").exists() and f'"step": {step},' in (run / "metrics.jsonl").read_text():
            return
        time.sleep(0.05)
    raise TimeoutError(f"no step {step}")


@pytest.fixture(scope="module")
def whole_run(models: dict[str, Path], pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a ResNet that nothing interrupted."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    finish(arguments(models["resnet"], pairs, run))
    return run


@pytest.fixture(scope="module")
def averaged_run(models: dict[str, Path], pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its weights averaged."""
    run = tmp_path_factory.mktemp("runs") / "averaged"
    finish(arguments(models["resnet"], pairs, run, *AVERAGED))
    return run


def kill_and_resume(command: list[str], run: Path, *, step: int) -> None:
    """Start a run, kill it after a step, and let it go on to its end."""
    process = start(command)
    wait_for_step(run, step)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finish(["train", "--resume", "--output", str(run)])


@pytest.mark.parametrize("step", [2, 5, 10])
def test_a_killed_run_resumes_to_the_same_weights(
    models: dict[str, Path], pairs: Path, whole_run: Path, tmp_path: Path, step: int
) -> None:
    run = tmp_path / "run"
    kill_and_resume(arguments(models["resnet"], pairs, run), run, step=step)
    expected, weights = load_file(whole_run / WEIGHTS), load_file(run / WEIGHTS)
    assert expected.keys() == weights.keys()
    assert all(torch.equal(expected[name], weights[name]) for name in expected)
    assert steps_logged(run) == list(range(1, STEPS + 1))
    assert (run / "skipped.csv").read_bytes() == (whole_run / "skipped.csv").read_bytes()


def test_a_killed_run_resumes_to_the_same_average(
    models: dict[str, Path], pairs: Path, whole_run: Path, averaged_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    kill_and_resume(arguments(models["resnet"], pairs, run, *AVERAGED), run, step=5)
    expected, weights = load_file(averaged_run / WEIGHTS), load_file(run / WEIGHTS)
    assert expected.keys() == weights.keys()
    assert all(torch.equal(expected[name], weights[name]) for name in expected)
    raw = load_file(whole_run / WEIGHTS)
    changed = {name for name in raw if not torch.equal(raw[name], weights[name])}
    assert {"visual.conv1.weight", "visual.bn1.running_mean", "text_projection", "logit_scale"} <= changed


def test_two_processes_keep_the_average_of_one(
    models: dict[str, Path], pairs: Path, averaged_run: Path, tmp_path: Path
) -> None:
    finish(arguments(models["resnet"], pairs, tmp_path / "two", *AVERAGED), processes=2)
    expected, weights = load_file(averaged_run / WEIGHTS), load_file(tmp_path / "two" / WEIGHTS)
    for name, weight in expected.items():
        assert torch.allclose(weight.float(), weights[name].float(), atol=1e-5, rtol=0), name


def test_sigterm_saves_first(models: dict[str, Path], pairs: Path, whole_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(arguments(models["resnet"], pairs, run, "--save-every", "100"))
    wait_for_step(run, 4)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    saved = max((run / "checkpoints").iterdir())
    stopped = int(re.fullmatch(r"step-(\d+)", saved.name)[1])
    assert 4 <= stopped < STEPS
    assert f"Stopped after step {stopped} of {STEPS}." in said
    assert f"clipcli train --resume --output {run}" in said
    finish(["train", "--resume", "--output", str(run)])
    expected, weights = load_file(whole_run / WEIGHTS), load_file(run / WEIGHTS)
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


def test_a_stop_where_a_validation_is_due_changes_nothing(whole_run: Path, tmp_path: Path) -> None:
    """Stopped in process by a flag that is up before the step of the validation."""
    from threading import Event

    from clipcli.commands.train.config_file import gather_config
    from clipcli.commands.train.run import run as train
    from clipcli.events import StepDone
    from clipcli.settings import read_yaml

    run, stop = tmp_path / "run", Event()
    settings = read_yaml(whole_run / "train.yaml") | {"output": str(run)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for event in train(gather_config(settings), stop=stop):
            if isinstance(event, StepDone) and event.step == 4:
                stop.set()
        [saved] = [path for path in (run / "checkpoints").iterdir() if path.name == "step-00000006"]
        for _ in train(gather_config({"output": str(run)}, resume=True), resume=True):
            pass
    finally:
        torch.set_num_threads(threads)
    assert saved.exists()
    expected, weights = load_file(whole_run / WEIGHTS), load_file(run / WEIGHTS)
    assert all(torch.equal(expected[name], weights[name]) for name in expected)
    validations = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in validations if line["kind"] == "validation"] == [0, 6, 12]


@pytest.mark.parametrize("micro_batch", [None, 2])
@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_two_processes_give_the_weights_of_one(
    models: dict[str, Path], pairs: Path, whole_run: Path, tmp_path: Path, name: str, micro_batch: int | None
) -> None:
    if name == "resnet" and micro_batch is not None:
        pytest.skip("batch norm's statistics are those of a micro-batch")
    more = [] if micro_batch is None else ["--micro-batch", str(micro_batch)]
    finish(arguments(models[name], pairs, tmp_path / "two", *more), processes=2)
    one = whole_run
    if name != "resnet":
        one = tmp_path / "one"
        finish(arguments(models[name], pairs, one))
    # Rounding errors grow with the steps, so the weights half of the way are compared.
    half = Path("checkpoints") / "step-00000006" / WEIGHTS
    expected, weights = load_file(one / half), load_file(tmp_path / "two" / half)
    for name_, weight in expected.items():
        assert torch.allclose(weight.float(), weights[name_].float(), atol=1e-5, rtol=0), name_
    assert (tmp_path / "two" / "skipped.csv").read_bytes() == (one / "skipped.csv").read_bytes()


def test_two_processes_take_the_negatives_of_one(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    """Of the same DATA alone, whichever process has them."""
    mixed = (f"{pairs}=0.5", "--negatives", "data")
    finish(arguments(models["vit"], pairs, tmp_path / "one", *mixed))
    finish(arguments(models["vit"], pairs, tmp_path / "two", *mixed), processes=2)
    finish(arguments(models["vit"], pairs, tmp_path / "all", mixed[0]))
    weights = {name: load_file(tmp_path / name / WEIGHTS) for name in ("one", "two", "all")}
    differs = []
    for name, weight in weights["one"].items():
        assert torch.allclose(weight.float(), weights["two"][name].float(), atol=1e-5, rtol=0), name
        differs.append((weight.float() - weights["all"][name].float()).abs().max() > 1e-3)
    assert any(differs)


def test_the_run_is_a_model_for_open_clip_and_for_classify(whole_run: Path, photos: Path) -> None:
    import open_clip

    from clipcli.backbones import find
    from clipcli.backbones.load import load
    from clipcli.backbones.runtime import choose_runtime
    from clipcli.events import result_of
    from clipcli.images.decode import decode
    from clipcli.images.resize import resizer

    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{whole_run}")
    theirs.eval()
    ours = load(result_of(find(str(whole_run))()), runtime=choose_runtime(device="cpu", precision="fp32"))
    image = decode((photos / "a.jpg").read_bytes())
    pixels = torch.from_numpy(np.array(resizer(ours.preprocessing)(image)))[None]
    tokenizer = open_clip.get_tokenizer(f"local-dir:{whole_run}")
    with torch.no_grad():
        images = theirs.encode_image(preprocess(image)[None], normalize=True)
        texts = theirs.encode_text(tokenizer(["a photo of a cat."]), normalize=True)
    assert torch.allclose(ours.encode_images(pixels), images, atol=1e-6)
    assert torch.allclose(ours.encode_texts(["a photo of a cat."]), texts, atol=1e-6)
    assert ours.logit_scale == pytest.approx(theirs.logit_scale.exp().item())
