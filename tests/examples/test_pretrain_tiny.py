"""What makes the bundled model out of a run: half the bytes, and nothing of what was never learned."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT
from safetensors.torch import load_file
from small_data import noisy_pairs

import clipcli
from clipcli.backbones.architectures import find_architecture
from clipcli.classes.label_files import read_labels
from clipcli.commands.train.settings import configured
from clipcli.settings import read_yaml

WEIGHTS, TOKENS = "open_clip_model.safetensors", "token_embedding.weight"

BUNDLE = ROOT / "examples" / "pretrain-tiny" / "bundle.py"
# The tokenizer's words for "thing", for the digits of `noisy_pairs`, and for the start and end of a text; 0 pads.
WORDS = "thing 0 1 2 3 4 5"


@pytest.fixture(scope="module")
def run(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run."""
    folder = tmp_path_factory.mktemp("run")
    pairs = noisy_pairs(folder / "pairs", 6)
    clipcli.train(pairs, output=folder / "run", model=str(models["resnet"]), steps=2, batch_size=3, device="cpu")
    return folder / "run"


@pytest.fixture(scope="module")
def bundled(run: Path) -> Path:
    """What is made of it."""
    target = run.parent / "bundled"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(BUNDLE), str(run), str(target)])
        runpy.run_path(str(BUNDLE), run_name="__main__")
    return target


def test_matrices_take_half_the_bytes_and_vectors_stay(run: Path, bundled: Path) -> None:
    before, after = load_file(run / WEIGHTS), load_file(bundled / WEIGHTS)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if name == TOKENS:
            continue
        if tensor.ndim > 1:
            assert after[name].dtype == torch.float16
            torch.testing.assert_close(after[name].float(), tensor, rtol=1e-3, atol=1e-7)
        else:
            torch.testing.assert_close(after[name], tensor, rtol=0, atol=0)


def test_tokens_that_no_caption_held_are_zero(run: Path, bundled: Path) -> None:
    import open_clip

    before, after = load_file(run / WEIGHTS)[TOKENS], load_file(bundled / WEIGHTS)[TOKENS]
    seen = open_clip.tokenize([WORDS]).unique()
    torch.testing.assert_close(after[seen].float(), before[seen], rtol=1e-3, atol=1e-7)
    assert (after != 0).any(dim=1).nonzero().flatten().tolist() == seen.tolist()


def test_it_labels_as_the_run_does(run: Path, bundled: Path) -> None:
    photos = run.parent / "pairs"
    options: dict[str, Any] = {"prompts": "{}", "score": "cosine", "top_k": 3, "precision": "fp32", "cache": False}

    def scores(model: Path) -> list[dict[str, float]]:
        rows = clipcli.classify(photos, labels=["thing 1", "thing 2", "3"], model=str(model), **options)
        return [dict(zip(row.labels, row.scores, strict=True)) for row in rows]

    of_run, of_bundled = scores(run), scores(bundled)
    assert len(of_run) == 6
    for one, other in zip(of_run, of_bundled, strict=True):
        assert other == pytest.approx(one, abs=2e-3)


def test_the_recipe_is_one_that_train_takes() -> None:
    folder = BUNDLE.parent
    made = re.findall(r"\$\(TRAIN\)/(\S+\.yaml) --(\S+) (\S+) --output (\S+)", (ROOT / "Makefile").read_text())
    assert [recipe for recipe, *_ in made] == sorted(path.name for path in folder.glob("*.yaml"))
    # The first begins with new weights, and each of the others with those of the one before.
    assert [start for _, *start, _ in made] == [
        ["arch", "$(TINY)/tiny.json"],
        *(["model", output] for *_, output in made[:-1]),
    ]
    for recipe, *_ in made:
        assert configured(read_yaml(folder / recipe)).average > 0
    assert len(read_labels(folder / "labels.csv")) == 210
    assert find_architecture(str(folder / "tiny.json")).model_cfg["embed_dim"] == 256
