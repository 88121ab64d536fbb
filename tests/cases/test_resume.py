"""Runs go on after their data has moved and for more steps, not with other data; a stopped run is a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from small_data import noisy_pairs, photograph, zipped

from clipcli import backbones
from clipcli.commands.train.checkpoints import checkpoints_in
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.identity import common_root, moved
from clipcli.commands.train.optimizer import share_of_peak
from clipcli.commands.train.run import Trained, run
from clipcli.errors import ModelUnavailable, UsageError
from clipcli.events import Event, Noted, StepDone, result_of

WEIGHTS = "open_clip_model.safetensors"
STEPS = 8


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums over threads may round in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve pairs, one of them an image that is cut short."""
    folder = noisy_pairs(tmp_path / "photos", 12)
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:100])
    return folder


def settings(model: Path, data: Path, output: Path, **more: Any) -> dict[str, Any]:
    made = {"data": [str(data)], "model": str(model), "output": str(output), "device": "cpu", "precision": "fp32"}
    return {
        **made,
        "steps": STEPS,
        "batch_size": 6,
        "lr": 1e-3,
        "max_skipped": 0.2,
        "log_every": 1,
        "save_every": 100,
        **more,
    }


def go(given: dict[str, Any], *, resume: bool = False, until: int | None = None) -> tuple[Trained, list[Event]]:
    """Run to the end, or stop with a checkpoint after the step `until`."""
    stop, events = Flag(), []

    def show(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone) and event.step == until:
            stop.set()

    return result_of(run(gather_config(given, resume=resume), resume=resume, stop=stop), show=show), events


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["kind"] == "step"}


def same_weights(one: Path, other: Path) -> bool:
    expected, found = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    return all(torch.equal(expected[name], found[name]) for name in expected)


def stopped(model: Path, data: Path, output: Path, **more: Any) -> Path:
    """A run that was stopped in the middle."""
    result, _ = go(settings(model, data, output, **more), until=3)
    assert result.step < STEPS
    return output


@pytest.fixture(scope="module")
def stopped_run(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that was stopped in the middle, and its data; no test changes them."""
    place = tmp_path_factory.mktemp("stopped")
    return stopped(models["vit"], noisy_pairs(place / "photos", 12), place / "run"), place / "photos"


def test_a_run_goes_on_when_its_data_has_moved(models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    """ray#28082: the path was part of what a run was known by."""
    go(settings(models["vit"], data, tmp_path / "whole"))
    run = stopped(models["vit"], data, tmp_path / "run")
    shutil.move(data, tmp_path / "elsewhere" / "renamed")
    result, _ = go({"data": [str(tmp_path / "elsewhere" / "renamed")], "output": str(run)}, resume=True)
    assert losses(run) == losses(tmp_path / "whole")
    assert same_weights(run, tmp_path / "whole")
    assert result.skipped == 1
    [row] = (run / "skipped.csv").read_text().splitlines()[1:]
    assert row.startswith(f"{tmp_path}/elsewhere/renamed/5.png,")
    result, _ = go({"output": str(run)}, resume=True)
    assert result.step == STEPS


@pytest.mark.slow
def test_a_run_goes_on_when_everything_has_moved(models: dict[str, Path], tmp_path: Path) -> None:
    """Relatives: the model, the validation data, the labels and the run itself."""
    tree = photograph(tmp_path / "old" / "tree", seed=0)
    (tmp_path / "old" / "labels.txt").write_text("bear\ncat\ncow\ndog\nred fox\nyak\n")
    model = Path(shutil.copytree(models["vit"], tmp_path / "old" / "model"))

    def places(folder: Path) -> dict[str, Any]:
        checks = {name: str(folder / "tree") for name in ("val", "zero_shot", "retain")}
        return {"model": str(folder / "model"), "labels": str(folder / "labels.txt"), "prompts": "plain", **checks}

    go(settings(model, tree, tmp_path / "whole") | places(tmp_path / "old"))
    go(settings(model, tree, tmp_path / "old" / "run") | places(tmp_path / "old"), until=3)
    shutil.move(tmp_path / "old", tmp_path / "new")
    now = places(tmp_path / "new")
    go({"data": [str(tmp_path / "new" / "tree")], "output": str(tmp_path / "new" / "run"), **now}, resume=True)
    assert losses(tmp_path / "new" / "run") == losses(tmp_path / "whole")
    assert same_weights(tmp_path / "new" / "run", tmp_path / "whole")


def test_a_folder_may_have_become_a_zip(models: dict[str, Path], tmp_path: Path) -> None:
    tree = photograph(tmp_path / "tree", seed=0)
    for path in tree.rglob("*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    run = stopped(models["vit"], tree, tmp_path / "run")
    archive = zipped(tree, tmp_path / "tree.zip", prefix="top/")
    result, _ = go({"data": [f"{archive}/top"], "output": str(run)}, resume=True)
    assert result.step == STEPS


def other_caption(folder: Path) -> None:
    (folder / "3.txt").write_text("something else\n")


def one_less(folder: Path) -> None:
    (folder / "3.png").unlink()


def one_more(folder: Path) -> None:
    shutil.copy(folder / "3.png", folder / "30.png")
    shutil.copy(folder / "3.txt", folder / "30.txt")


def renamed(folder: Path) -> None:
    (folder / "3.png").rename(folder / "3.jpg")


def other_image(folder: Path) -> None:
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "3.png")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_caption, "DATA holds other pairs than before"),
        (one_less, "DATA holds other pairs than before"),
        (one_more, "DATA holds other pairs than before"),
        (renamed, "DATA holds other pairs than before"),
        (other_image, "images of DATA are of another size in bytes than before"),
    ],
)
def test_a_run_does_not_go_on_with_other_data(
    stopped_run: tuple[Path, Path], tmp_path: Path, change: Callable[[Path], None], says: str
) -> None:
    run, data = (Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in stopped_run)
    change(data)
    written = (run / "train.yaml").read_bytes()
    with pytest.raises(UsageError, match=f"^cannot resume {run}: {says}; put it back, or start anew$"):
        go({"data": [str(data)], "output": str(run)}, resume=True)
    assert (run / "train.yaml").read_bytes() == written


def test_an_image_that_was_skipped_may_be_mended(models: dict[str, Path], data: Path, tmp_path: Path) -> None:
    result, _ = go(settings(models["vit"], data, tmp_path / "run", epochs=None, steps=12), until=8)
    assert result.skipped == 1
    shutil.copy(data / "6.png", data / "5.png")
    result, _ = go({"output": str(tmp_path / "run")}, resume=True)
    assert result.step == 12


def test_another_model_or_validation_in_the_same_place_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    """Relatives: what lies in a place may have changed while the place is the same."""
    tree, model = photograph(tmp_path / "tree", seed=0), Path(shutil.copytree(models["vit"], tmp_path / "model"))
    val = photograph(tmp_path / "val", seed=1, images_per_class=1)
    run = stopped(model, tree, tmp_path / "run", zero_shot=str(val))
    (val / "cat" / "0.png").rename(val / "cat" / "1.png")
    with pytest.raises(UsageError, match="--zero-shot holds other images or classes than before"):
        go({"output": str(run)}, resume=True)
    (val / "cat" / "1.png").rename(val / "cat" / "0.png")
    config = model / "open_clip_config.json"
    config.write_text(config.read_text().replace('"heads": 2', '"heads": 4'))
    with pytest.raises(UsageError, match="--model is another model than before"):
        go({"output": str(run)}, resume=True)


def test_data_that_is_gone_is_asked_for(stopped_run: tuple[Path, Path], tmp_path: Path) -> None:
    run, gone = Path(shutil.copytree(stopped_run[0], tmp_path / "run")), tmp_path / "gone"
    with pytest.raises(UsageError, match=rf"no such data: {gone}; .*clipcli train DATA --resume --output {run}"):
        go({"data": [str(gone)], "output": str(run)}, resume=True)


@pytest.mark.parametrize("first", [3, None])
def test_a_run_goes_on_for_more_steps(models: dict[str, Path], data: Path, tmp_path: Path, first: int | None) -> None:
    """ray#28082: a run that has ended, or was stopped, could not go on for longer than was asked at first."""
    run = tmp_path / "run"
    result, _ = go(settings(models["vit"], data, run, warmup=2), until=first)
    taken = result.step
    result, events = go({"output": str(run), "steps": 14}, resume=True)
    assert (result.step, result.steps) == (14, 14)
    [note] = [event.message for event in events if isinstance(event, Noted) and "steps in all" in event.message]
    assert note.startswith(
        "the run has 14 steps in all, before it had 8: from here on the learning rate follows the cos"
    )
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.step for event in steps] == list(range(taken + 1, 15))
    rates = [1e-3 * share_of_peak(step, warmup=2, steps=14) for step in range(taken, 14)]
    assert [event.lr for event in steps] == pytest.approx(rates)
    assert sorted(losses(run)) == list(range(1, 15))
    # Once said, it is as if the run had always been so long.
    _, events = go({"output": str(run)}, resume=True)
    assert not [event for event in events if isinstance(event, Noted)]


def test_a_run_that_goes_on_in_epochs_is_as_long_as_they_are(
    models: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    go(settings(models["vit"], data, tmp_path / "run"))
    result, _ = go({"output": str(tmp_path / "run"), "epochs": 6}, resume=True)
    assert result.steps == 12


def test_a_run_may_end_where_it_is_and_not_before(stopped_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(stopped_run[0], tmp_path / "run"))
    step = checkpoints_in(run)[-1].step
    with pytest.raises(
        UsageError, match=f"it has taken {step} steps, more than the 1 asked for; give --steps {step} or"
    ):
        go({"output": str(run), "steps": 1}, resume=True)
    result, _ = go({"output": str(run), "steps": step}, resume=True)
    assert result.step == step
    assert (run / WEIGHTS).exists()


def test_a_stopped_run_is_a_model(stopped_run: tuple[Path, Path], tmp_path: Path) -> None:
    """Its last checkpoint, so that what is remembered of it is not taken for that of a later one."""
    run = Path(shutil.copytree(stopped_run[0], tmp_path / "run"))
    last = checkpoints_in(run)[-1].folder
    checkpoint = result_of(backbones.find(str(run))())
    assert checkpoint.weights == last / WEIGHTS
    assert backbones.absolute_name(str(run)) == str(last)
    go({"output": str(run)}, resume=True)
    assert result_of(backbones.find(str(run))()).weights == run / WEIGHTS


def test_a_run_that_was_killed_is_what_was_saved_before(stopped_run: tuple[Path, Path], tmp_path: Path) -> None:
    """What `kill -9` leaves: a folder that was begun, and perhaps a part of a checkpoint."""
    run = Path(shutil.copytree(stopped_run[0], tmp_path / "run"))
    last = checkpoints_in(run)[-1].folder
    shutil.copytree(last, run / "checkpoints" / ".step-00000007.part")
    (run / f".{WEIGHTS}.part").write_bytes(b"half")
    assert result_of(backbones.find(str(run))()).weights == last / WEIGHTS
    for saved in checkpoints_in(run):
        shutil.rmtree(saved.folder)
    with pytest.raises(
        ModelUnavailable, match=f"has no checkpoint yet; go on with clipcli train --resume --output {run}"
    ):
        result_of(backbones.find(str(run))())


@pytest.mark.parametrize(
    ("ids", "root"),
    [
        (["/a/b/1.jpg", "/a/b/2.jpg"], "/a/b/"),
        (["/a/b/1.jpg", "/a/c/1.jpg"], "/a/"),
        (["/a/bear/1.jpg", "/a/beaver/1.jpg"], "/a/"),
        (["/a/b.jpg"], "/a/"),
        (["a.jpg", "b.jpg"], ""),
        ([], ""),
    ],
)
def test_the_common_root_is_a_whole_folder(ids: list[str], root: str) -> None:
    assert common_root(ids) == root


def test_a_path_moves_with_the_deepest_folder_that_it_is_in() -> None:
    before, now = ("/a/", "/a/b/"), ("/x/", "/y/")
    assert [moved(path, before=before, now=now) for path in ("/a/1", "/a/b/1", "/c/1")] == ["/x/1", "/y/1", "/c/1"]
