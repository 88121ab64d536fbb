"""`clipcli convert`: what it says, and how it ends."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from .conftest import Run


def test_a_model_is_written_and_how_near_it_is_is_said(run: Run, models: dict[str, Path]) -> None:
    done = run("convert", models["sigmoid"], "--to", "open_clip", "-o", "out")
    assert done.code == 0
    assert f"Writing {models['sigmoid']} for open_clip …" in done.err
    assert (
        f"out: {models['sigmoid']} for open_clip. As open_clip reads it, no number of an embedding differs by"
        in done.err
    )
    assert 'Use it: open_clip.create_model_and_transforms("local-dir:out")' in done.err
    assert done.out == ""
    done = run("models", "out")
    assert "score       sigmoid" in done.out
    assert run("convert", models["sigmoid"], "--to", "open_clip", "-o", "out", "-q").code == 2
    assert run("convert", models["sigmoid"], "--to", "open_clip", "-o", "out", "-q", "--overwrite").err == ""


def test_what_cannot_be_is_one_line(run: Run, models: dict[str, Path]) -> None:
    for arguments, says in (
        (
            (models["sigmoid"], "--to", "openai", "-o", "out"),
            "tower is test_vit of timm; give --to open_clip or --to onnx",
        ),
        ((models["vit"], "--to", "tensorflow", "-o", "out"), "unknown --to 'tensorflow'; choose one of: open_clip,"),
        ((models["vit"], "-o", "out"), "give --to FORM"),
        ((models["vit"], "--to", "onnx"), "give --output DIR"),
        (("--to", "onnx", "-o", "out"), "no model was given; give a training run's folder"),
        (("no-such-model", "--to", "onnx", "-o", "out"), "unknown model 'no-such-model'"),
    ):
        done = run("convert", *arguments)
        assert done.code == 2
        assert says in done.err
        assert done.err.count("\n") == 1
    assert not Path("out").exists()


def test_the_settings_are_shown(run: Run) -> None:
    done = run("convert", "tiny", "--to", "onnx", "-o", "out", "--show-config")
    shown = yaml.safe_load(done.out)
    assert shown == {"model": "tiny", "to": "onnx", "output": "out", "overwrite": False, "offline": False}
    assert not Path("out").exists()


def test_a_folder_of_transformers_is_shown(run: Run, models: dict[str, Path]) -> None:
    shutil.copytree(models["vit"], "clip")
    Path("clip/open_clip_config.json").unlink()
    Path("clip/config.json").write_text('{"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 64}')
    assert "64 dimensions" in run("models", "clip").out
