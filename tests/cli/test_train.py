"""`clipcli train`: what it says, what it leaves behind, and one clear line for every mistake."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from small_data import noisy_pairs

from clipcli.backbones import open_clip_folder
from clipcli.cli import main
from clipcli.commands.train import gradient


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of twelve images of noise with a caption each."""
    return noisy_pairs(tmp_path / "pairs", 12)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes with four images each."""
    rng = np.random.default_rng(1)
    for label in ("red_fox", "grey wolf"):
        folder = tmp_path / "tree" / label
        folder.mkdir(parents=True)
        for n in range(4):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / f"{n}.png")
    return tmp_path / "tree"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where a run goes."""
    return tmp_path / "run"


def clipcli(*arguments: object) -> int:
    """Run the command line here; its exit code."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def train(*arguments: object, model: str, run: Path) -> int:
    """A very short run on the processor."""
    return clipcli(
        *("train", *arguments, "--model", model, "--output", run, "--device", "cpu", "--precision", "fp32"),
        *("--batch-size", 4, "--prompts", "plain", "--val-every", 2, "--save-every", 2, "--log-every", 1),
    )


def lines(run: Path, kind: str) -> list[dict[str, object]]:
    """The lines of this kind in a run's metrics."""
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in read if line["kind"] == kind]


def test_a_run_leaves_all_that_it_says(
    pairs: Path, tree: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(pairs, "--steps", 4, "--zero-shot", tree, "--val", pairs, model=model, run=run) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "12 pairs" in said.err
    assert "step 4/4: loss " in said.err
    assert "step 4: zero-shot top-1 " in said.err
    assert f"look at {run / 'report.html'}" in said.err
    assert {path.name for path in run.iterdir() if path.name != ".lock"} == {
        *(
            "open_clip_config.json",
            "open_clip_model.safetensors",
            "train.yaml",
            "metrics.jsonl",
            "skipped.csv",
            "examples.json",
        ),
        *("report.html", "checkpoints"),
    }
    assert [line["step"] for line in lines(run, "step")] == [1, 2, 3, 4]
    assert [line["step"] for line in lines(run, "validation")] == [0, 2, 4]
    assert set(lines(run, "validation")[0]) == {
        *("kind", "step", "val_loss", "zero_shot_top1"),
        *(f"{way}_recall@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)),
    }
    [end] = lines(run, "end")
    assert end["step"] == 4
    assert (run / "skipped.csv").read_text() == "path,reason\n"
    modes = {path.stat().st_mode for path in run.rglob("open_clip*")}
    assert modes == {(run / "train.yaml").stat().st_mode}


def test_classify_takes_the_run(tree: Path, model: str, run: Path, labels: Path, tmp_path: Path) -> None:
    assert train(tree, "--steps", 2, model=model, run=run) == 0
    rows = tmp_path / "rows.csv"
    assert clipcli("classify", tree, "--labels", labels, "--model", run, "--output", rows) == 0
    assert len(rows.read_text().splitlines()) == 9


def test_pretraining_from_a_configuration(pairs: Path, run: Path, tmp_path: Path) -> None:
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    (tmp_path / "small.json").write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    code = clipcli(
        *("train", pairs, "--arch", tmp_path / "small.json", "--output", run, "--steps", 3, "--batch-size", 6),
        *("--loss", "siglip", "--precision", "fp32", "--device", "cpu"),
    )
    assert code == 0
    config = json.loads((run / "open_clip_config.json").read_text())["model_cfg"]
    assert (config["embed_dim"], config["init_logit_bias"]) == (16, -10)
    import open_clip

    assert open_clip.create_model(f"local-dir:{run}").logit_bias.item() == pytest.approx(-10, abs=0.1)


@pytest.mark.parametrize("extra", [["--lock", "image"], ["--lock", "text"], ["--lora", "2"]], ids=" ".join)
def test_what_is_locked_stays(pairs: Path, model: str, run: Path, extra: list[str]) -> None:
    from safetensors.torch import load_file

    assert train(pairs, "--steps", 2, "--lr", "1e-2", *extra, model=model, run=run) == 0
    before = load_file(Path(model) / "open_clip_model.safetensors")
    after = load_file(run / "open_clip_model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    image = {name for name in before if name.startswith("visual.")}
    if extra[0] == "--lora":
        matrices = {name for name in before if name.endswith(("in_proj_weight", "out_proj.weight", "c_fc.weight"))}
        assert matrices <= changed
        assert not {name for name in before if "ln_" in name or "embedding" in name} & changed
    else:
        assert bool(changed & image) == (extra[1] == "text")
        assert bool(changed - image - {"logit_scale"}) == (extra[1] == "image")


def test_the_last_groups_of_a_locked_tower_learn(pairs: Path, models: dict[str, Path], run: Path) -> None:
    from safetensors.torch import load_file

    resnet = models["resnet"]
    options = ["--lock", "image", "--unlock-groups", 2, "--lr", "1e-2"]
    assert train(pairs, "--steps", 2, *options, model=str(resnet), run=run) == 0
    before = load_file(resnet / "open_clip_model.safetensors")
    after = load_file(run / "open_clip_model.safetensors")
    stages = {
        name.split(".")[1] for name in before if name.startswith("visual") and not before[name].equal(after[name])
    }
    assert stages == {"layer4", "attnpool"}


@pytest.mark.parametrize("extra", [["--lora", "2"], []], ids=["lora", "whole"])
def test_the_same_seed_gives_the_same_weights(pairs: Path, model: str, tmp_path: Path, extra: list[str]) -> None:
    from safetensors.torch import load_file

    torch.manual_seed(1)
    runs = [tmp_path / "one", tmp_path / "two"]
    for run in runs:
        assert train(pairs, "--steps", 2, "--lr", "1e-2", *extra, model=model, run=run) == 0
        torch.manual_seed(2)
    one, two = (load_file(run / "open_clip_model.safetensors") for run in runs)
    assert all(one[name].equal(two[name]) for name in one)


def test_clip_loss_takes_the_bias_away(pairs: Path, models: dict[str, Path], run: Path) -> None:
    """A bias that the loss does not know would make scores of the model that mean nothing."""
    model = str(models["sigmoid"])
    assert train(pairs, "--steps", 1, "--loss", "clip", model=model, run=run) == 0
    assert json.loads((run / "open_clip_config.json").read_text())["model_cfg"]["init_logit_bias"] is None
    import open_clip

    assert open_clip.create_model(f"local-dir:{run}").logit_bias is None


def test_a_run_resumes_from_another_folder(
    pairs: Path, model: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(pairs.name, "--steps", 2, "--val", pairs.name, model=model, run=Path("run")) == 0
    monkeypatch.chdir(pairs)
    assert clipcli("train", "--resume", "--output", run) == 0


def test_a_best_checkpoint_that_is_gone_is_told_of(
    pairs: Path, tree: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(pairs, "--steps", 8, "--zero-shot", tree, "--lr", "1e-2", model=model, run=run) == 0
    best = lines(run, "end")[0]["best_step"]
    assert best < 6
    shutil.rmtree(run / "checkpoints" / f"step-{best:08}")
    assert clipcli("train", "--resume", "--output", run) == 0
    assert f"the best checkpoint, of step {best}, is gone; the last weights are taken" in capsys.readouterr().err


def test_a_run_that_makes_the_model_worse_keeps_the_start_and_says_so_everywhere(
    pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    from clipcli.commands.train.validation import Checks, Measurement

    shares = iter([0.5, 0.4, 0.5, 0.5])
    monkeypatch.setattr(Checks, "measure", lambda *_, **__: Measurement({"zero_shot_top1": next(shares)}))
    assert train(pairs, "--steps", 2, "--val", pairs, model=model, run=run) == 0
    kept = "Training made nothing better: kept is the start, with 50.0% by zero-shot top-1; step 2 had 40.0%."
    said = capsys.readouterr().err.splitlines()
    assert said.index(kept) < min(n for n, line in enumerate(said) if "steps done" in line)
    [end] = lines(run, "end")
    assert (end["kept"], end["kept_step"], end["worse"]) == (kept, 0, True)
    assert f'<div class="verdict bad">\n<p>{kept}</p>' in (run / "report.html").read_text()
    weights, start = (load_file(folder / "open_clip_model.safetensors") for folder in (run, Path(model)))
    trained = load_file(run / "checkpoints" / "step-00000002" / "open_clip_model.safetensors")
    assert all(weights[name].equal(start[name]) for name in weights)
    assert not weights["text_projection"].equal(trained["text_projection"])
    assert clipcli("train", "--resume", "--output", run) == 0
    assert kept in capsys.readouterr().err.splitlines()


def test_the_report_has_examples_of_retrieval(pairs: Path, model: str, run: Path) -> None:
    assert train(pairs, "--steps", 2, "--val", pairs, "--lr", "1e-2", model=model, run=run) == 0
    page = (run / "report.html").read_text()
    assert page.count("data:image/jpeg") == 8
    captions = re.findall("<figcaption>“.*?” Before: (.*?)\\. After: (.*?)\\.<small>", page)
    assert len(captions) == 8
    right = [{"found"}, {"rank"}, {"found", "rank"}]
    assert all({text.partition(" ")[0] for text in each} in right for each in captions)


def test_each_step_of_a_short_run_is_logged(pairs: Path, model: str, run: Path) -> None:
    given = [
        "train",
        pairs,
        "--model",
        model,
        "--output",
        run,
        "--batch-size",
        4,
        "--device",
        "cpu",
        "--prompts",
        "plain",
    ]
    assert clipcli(*given, "--steps", 3) == 0
    assert [line["step"] for line in lines(run, "step")] == [1, 2, 3]
    assert "log_every: 1" in (run / "train.yaml").read_text().splitlines()


def test_tensorboard_gets_the_numbers(pairs: Path, model: str, run: Path) -> None:
    pytest.importorskip("tensorboard")
    assert train(pairs, "--steps", 2, "--tensorboard", model=model, run=run) == 0
    assert list((run / "tensorboard").iterdir())


def test_wise_ft_keeps_what_is_to_be_retained(
    pairs: Path, tree: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    options = ["--steps", 4, "--lr", "1e-2", "--val", pairs, "--retain", tree, "--wise-ft", "auto", "--retain-drop", 1]
    assert train(pairs, *options, model=model, run=run) == 0
    points = lines(run, "wise_ft")
    assert {0, 0.25, 0.5, 0.75, 1} < {point["alpha"] for point in points}
    [chosen] = [point for point in points if point["chosen"]]
    assert chosen["validation"] == max(point["validation"] for point in points)
    assert f"kept {chosen['alpha']:.0%}: validation {chosen['validation']:.2%}" in capsys.readouterr().err
    best = lines(run, "end")[0]["best_step"]
    trained = load_file(run / "checkpoints" / f"step-{best:08}" / "open_clip_model.safetensors")
    start, mixed = (load_file(f / "open_clip_model.safetensors") for f in (Path(model), run))
    for name, weight in mixed.items():
        expected = start[name] + chosen["alpha"] * (trained[name] - start[name])
        assert (weight - expected).abs().max() < 1e-6, name


def test_show_config_is_what_the_run_keeps(
    pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["train", pairs, "--model", model, "--output", run, "--epochs", 2, "--batch-size", 6, "--device", "cpu"]
    assert clipcli(*given, "--show-config") == 0
    open_settings = capsys.readouterr()
    assert not re.search("^(lr|lock): ", open_settings.out, flags=re.MULTILINE)
    assert "chosen by measurement when the run begins" in open_settings.err
    given += ["--lr", "1e-5"]
    assert clipcli(*given, "--show-config") == 0
    shown = capsys.readouterr().out
    assert "steps: 4" in shown.splitlines()
    assert not run.exists()
    assert clipcli(*given) == 0
    assert (run / "train.yaml").read_text() == shown
    assert "average: 0.0" in shown.splitlines()
    assert clipcli(*given, "--average", 0.99, "--image-size", 48, "--show-config") == 0
    assert {"average: 0.99", "image_size: 48"} <= set(capsys.readouterr().out.splitlines())


def test_flags_override_the_file(pairs: Path, model: str, run: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"data: [{pairs}]\nmodel: {model}\nepochs: 50\nlr: 1e-3\nbatch-size: 4\ndevice: cpu\n")
    assert clipcli("train", "--config", file, "--output", run, "--steps", 1) == 0
    kept = (run / "train.yaml").read_text().splitlines()
    assert {"steps: 1", "lr: 0.001", "batch_size: 4"} <= set(kept)


def test_the_best_and_the_last_two_checkpoints_are_kept(pairs: Path, model: str, run: Path) -> None:
    options = ["--steps", 8, "--keep-every", 4, "--val", pairs, "--lr", "1e-2"]
    assert train(pairs, *options, model=model, run=run) == 0
    best = lines(run, "end")[0]["best_step"]
    kept = {int(folder.name.removeprefix("step-")) for folder in (run / "checkpoints").iterdir()}
    assert kept == {4, 6, 8, best}


class TestMistakes:
    """Each is one line, before anything is written where that can be known."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--batch-size", 13], "--batch-size 13 is larger than the data, 12 pairs; give 12 or less"),
            (["--epochs", 1, "--steps", 1], "both --epochs and --steps were given; give one of them"),
            (["--lr", "fast"], "invalid value for '--lr': "),
            (["--average", 1], "--average 1.0 does not fit; give from 0 to 0.999999"),
            (["--image-size", 0], "--image-size 0 does not fit; give 1 or more"),
            (["--loss", "hinge"], "unknown --loss 'hinge'; choose one of: clip, siglip"),
            (["--unlock-groups", 1], "--unlock-groups goes with --lock; give --lock image or --lock text"),
            (["--wise-ft", "2"], "--wise-ft 2 is neither auto nor a share from 0 to 1; give one of them"),
            (["--wise-ft", "auto"], "--wise-ft auto chooses by validation; give --zero-shot DIR or --val DATA as well"),
            (["--arch", "RN50"], "both --model and --arch were given; give --model M to fine-tune, or --arch ARCH to"),
            (["--config", "no.yaml"], "cannot read no.yaml: No such file or directory; check the path after --config"),
            (["--resume", "--lr", "3"], None),
        ],
    )
    def test_of_settings(
        self,
        pairs: Path,
        model: str,
        run: Path,
        capsys: pytest.CaptureFixture[str],
        options: list[object],
        message: str | None,
    ) -> None:
        if message is None:
            assert train(pairs, "--steps", 2, "--lr", "1e-5", model=model, run=run) == 0
            code = clipcli("train", "--output", run, *options)
            message = f"cannot resume {run}: --lr was 1e-05 and is 3.0; leave that out, or start anew"
        else:
            code = clipcli("train", pairs, "--model", model, "--output", run, "--device", "cpu", *options)
            assert not (run / "metrics.jsonl").exists()
        assert code == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"clipcli: {message}")

    def test_no_pairs(self, photos: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (photos / "more" / "f.jpg").unlink()
        assert train(photos, model=model, run=run) == 2
        assert f"no pairs found in {photos}" in capsys.readouterr().err
        assert not run.exists()

    def test_too_many_bad_images(self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (pairs / "3.png").write_bytes(b"no image")
        assert train(pairs, "--steps", 6, model=model, run=run) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith(
            f"clipcli: 1 of 12 pairs were skipped, more than 5%, such as {pairs}/3.png: not an image"
        )
        assert (run / "skipped.csv").read_text() == f"path,reason\n{pairs}/3.png,not an image\n"

    def test_a_few_bad_images_are_told_of(
        self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (pairs / "3.png").write_bytes(b"no image")
        (pairs / "4.txt").unlink()
        assert train(pairs, "--steps", 6, "--max-skipped", 0.2, model=model, run=run) == 3
        assert f"2 pairs were skipped; {run / 'skipped.csv'} says why." in capsys.readouterr().err
        rows = (run / "skipped.csv").read_text().splitlines()
        assert rows == ["path,reason", f"{pairs}/4.png,no caption", f"{pairs}/3.png,not an image"]

    def test_a_run_is_not_overwritten(
        self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert train(pairs, "--steps", 1, model=model, run=run) == 0
        assert train(pairs, "--steps", 1, model=model, run=run) == 2
        assert f"{run} holds a run; go on with it by --resume, or give another --output" in capsys.readouterr().err

    def test_other_data_is_not_resumed(
        self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert train(pairs, "--steps", 2, model=model, run=run) == 0
        (pairs / "5.txt").write_text("another caption")
        assert clipcli("train", "--resume", "--output", run) == 2
        assert "DATA holds other pairs than before" in capsys.readouterr().err

    def test_a_loss_that_is_no_number(
        self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forward = gradient.Encoder.forward
        calls = iter(range(100))

        def broken(self: gradient.Encoder, *inputs: object) -> object:
            images, *rest = forward(self, *inputs)  # type: ignore[arg-type]
            return (images * (float("nan") if next(calls) == 4 else 1), *rest)

        monkeypatch.setattr(gradient.Encoder, "forward", broken)
        assert train(pairs, "--steps", 8, "--lr", "1e-5", model=model, run=run) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("clipcli: the loss is not a number at step 5; its batch was ")
        assert f"the last good checkpoint is {run}/checkpoints/step-00000004" in said
        assert len((run / "bad-batch.txt").read_text().splitlines()) == 4
        monkeypatch.undo()
        assert clipcli("train", "--resume", "--output", run) == 0

    def test_a_full_disk(
        self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_file = open_clip_folder.save_file
        calls = iter(range(100))

        def full(*arguments: object) -> None:
            if next(calls) == 1:
                raise OSError(28, "No space left on device")
            save_file(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(open_clip_folder, "save_file", full)
        assert train(pairs, "--steps", 8, "--lr", "1e-5", model=model, run=run) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert "No space left on device" in said
        assert f"{run}/checkpoints/step-00000002 is kept" in said
        assert [folder.name for folder in (run / "checkpoints").iterdir()] == ["step-00000002"]

    def test_a_full_disk_at_the_end(
        self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """safetensors has an error of its own for it, which is no OSError."""
        save_file = open_clip_folder.save_file

        def full(weights: object, path: Path) -> None:
            if path.parent == run:
                raise SafetensorError("No space left on device")
            save_file(weights, path)  # type: ignore[arg-type]

        monkeypatch.setattr(open_clip_folder, "save_file", full)
        assert train(pairs, "--steps", 2, model=model, run=run) == 1
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith(f"clipcli: cannot write the model to {run}: No space left on device; free some space")
        monkeypatch.undo()
        assert clipcli("train", "--resume", "--output", run) == 0
        assert (run / "open_clip_model.safetensors").exists()

    @pytest.mark.parametrize("name", ["trainer.pt", "open_clip_model.safetensors"])
    def test_a_broken_checkpoint(
        self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        assert train(pairs, "--steps", 4, model=model, run=run) == 0
        last = run / "checkpoints" / "step-00000004"
        (last / name).write_bytes(b"broken")
        assert clipcli("train", "--resume", "--output", run) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith(f"clipcli: cannot read {last / name} (")
        assert said.endswith("; remove that folder to go on from the checkpoint before")
        shutil.rmtree(last)
        assert clipcli("train", "--resume", "--output", run) == 0

    def test_nothing_to_resume(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert clipcli("train", "--resume", "--output", run) == 2
        assert f"no run to go on with in {run}; check --output" in capsys.readouterr().err

    @pytest.mark.parametrize("place", ["DATA", "--zero-shot"])
    def test_one_class_only(
        self, tree: Path, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str], place: str
    ) -> None:
        shutil.rmtree(tree / "red_fox")
        inputs = [tree] if place == "DATA" else [pairs, "--zero-shot", tree]
        assert train(*inputs, model=model, run=run) == 2
        assert f"{tree} has one class only" in capsys.readouterr().err

    def test_long_captions_are_told_of(
        self, pairs: Path, model: str, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (pairs / "0.txt").write_text("word " * 60)
        assert train(pairs, "--steps", 3, model=model, run=run) == 0
        assert "1 captions that were drawn are longer than the model's context" in capsys.readouterr().err
