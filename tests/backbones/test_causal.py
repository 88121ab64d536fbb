"""Leaving padding out is exact where the text tower is causal, and not done where it is not."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import _build_text_tower

from clipcli.backbones import causal, directory, prefixes
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.events import result_of

TEXTS = ["a cat.", "", "a photo of the hard to see great white shark.", "word " * 60, "海岸", "a dog."]
CONFIG = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}


def loaded(folder: Path) -> Backbone:
    """The backbone in a directory, in float32."""
    checkpoint = result_of(directory.fetch(folder, name="test"))
    return load(checkpoint, runtime=choose_runtime(device="cpu", precision="fp32"))


@pytest.mark.parametrize("name", ["vit", "resnet", "sigmoid"])
def test_text_embeddings_are_those_of_open_clip(models: dict[str, Path], name: str) -> None:
    model = open_clip.create_model(f"local-dir:{models[name]}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{models[name]}")(TEXTS)
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(loaded(models[name]).encode_texts(TEXTS), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "change", [{}, {"pool_type": "eos", "eos_id": 49407}, {"proj_bias": True}, {"proj_type": "none"}]
)
def test_every_causal_tower_gives_the_same_without_padding(change: dict[str, object]) -> None:
    torch.manual_seed(0)
    tower = _build_text_tower(32, CONFIG | change).eval()
    tokens = open_clip.SimpleTokenizer(context_length=32)(TEXTS)
    assert causal.is_causal(tower)
    with torch.inference_mode():
        short = causal.encode(tower, tokens[:3], causal.ends(tower, tokens[:3]))
        torch.testing.assert_close(short, tower(tokens[:3]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "change", [{"no_causal_mask": True}, {"pool_type": "last"}, {"pool_type": "first"}, {"embed_cls": True}]
)
def test_a_tower_that_sees_padding_is_left_alone(change: dict[str, object]) -> None:
    assert not causal.is_causal(_build_text_tower(32, CONFIG | change))


def test_a_tower_of_other_blocks_works_on_no_more_than_the_longest_text(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = loaded(models["vit"])
    monkeypatch.setattr(prefixes, "can_share", lambda _: False)
    expected = backbone.encode_texts(TEXTS)
    lengths = []
    forward = type(backbone.towers.text.transformer).forward

    def spy(self: torch.nn.Module, x: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        lengths.append(x.shape[1])
        return forward(self, x, **kwargs)

    monkeypatch.setattr(type(backbone.towers.text.transformer), "forward", spy)
    backbone.encode_texts(["a cat.", "a photo of a dog."])
    assert lengths == [8]
    monkeypatch.undo()
    torch.testing.assert_close(backbone.encode_texts(TEXTS), expected, rtol=0, atol=1e-6)
