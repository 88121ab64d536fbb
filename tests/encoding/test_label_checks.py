"""Labels of words that a model was never trained on are warned about by name, in every run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clipcli.commands.classify.run import run
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.events import Warned

WEIGHTS, TOKENS = "open_clip_model.safetensors", "token_embedding.weight"


@pytest.fixture
def model(models: dict[str, Path], tmp_path: Path) -> str:
    """A model whose tokens of "zebra" and of other scripts than ours are zero, as if it had never seen them."""
    import open_clip

    folder = Path(shutil.copytree(models["vit"], tmp_path / "half-taught"))
    weights = load_file(folder / WEIGHTS)
    unseen = open_clip.tokenize(["zebra 狗"]).unique()
    seen = open_clip.tokenize(["", "a photo of the horse."]).unique()
    weights[TOKENS][unseen[~torch.isin(unseen, seen)]] = 0
    save_file(weights, folder / WEIGHTS)
    return str(folder)


def warnings(photos: Path, labels: list[str], model: str, **options: bool) -> list[str]:
    settings = ClassifySettings((str(photos),), labels=labels, model=model, prompts="a photo of the {}.", **options)
    return [event.message for event in run(settings) if isinstance(event, Warned)]


@pytest.mark.parametrize("cache", [True, False])
def test_words_without_a_trained_token_are_named_in_every_run(photos: Path, model: str, cache: bool) -> None:
    told = [
        f"{model} has never seen a word of 'zebra', '狗', 'a zebra' (zebra): it can only guess at such labels; "
        "write them with other words, or take another model"
    ]
    for _ in range(2):
        assert warnings(photos, ["horse", "zebra", "狗", "a zebra"], model, cache=cache) == told


def test_known_words_are_not_warned_about(photos: Path, model: str, models: dict[str, Path]) -> None:
    assert warnings(photos, ["horse", "horses!"], model) == []
    assert warnings(photos, ["horse", "zebra"], str(models["vit"])) == []


def test_tiny_says_which_labels_hold_words_that_it_never_saw(photos: Path) -> None:
    """`smörgåsbord` is six tokens, of which two were never trained: no text held letters with accents."""
    labels = ["dog", "café", "a rich smörgåsbord", "cafe"]
    settings = ClassifySettings((str(photos),), labels=labels, model="tiny", prompts="plain", cache=False)
    assert [event.message for event in run(settings) if isinstance(event, Warned)] == [
        "tiny has never seen a word of 'café', 'a rich smörgåsbord' (smörgåsbord): it can only guess at such"
        " labels; write them with other words, or take another model"
    ]
