"""Sharing what texts begin with changes no embedding, and computes each beginning once: open_clip is the oracle."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import _build_text_tower
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from torch.nn import functional

from clipcli.backbones import prefixes, towers
from clipcli.backbones.towers import Towers

CONFIG = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3}
TOKENIZE = open_clip.SimpleTokenizer(context_length=24)
NAMES = ["tench", "great white shark", "great grey owl", "crane, the bird", "海岸"]
ENSEMBLE = [template(name) for name in NAMES for template in OPENAI_IMAGENET_TEMPLATES[::4]]
PROMPTS = {
    "of templates": ENSEMBLE,
    "one": ["a photo of a cat."],
    "empty": [""],
    "twice": ["a cat.", "a dog.", "a cat.", "a cat."],
    "one inside another": ["a photo", "a", "a photo of", "a photo of a cat", "", "a photo of a cat"],
    "name first": [f"{name} {template('')}" for name in NAMES for template in OPENAI_IMAGENET_TEMPLATES[:9]],
    "longer than the context": ["word " * 60, "word " * 22, "word " * 21 + "end", "word " * 60 + "other"],
    "with an end inside": ["a cat<end_of_text> and a dog", "a cat", "a cat<end_of_text>"],
}


def tower_of(change: dict[str, Any], *, dtype: torch.dtype = torch.float32) -> Towers:
    """A text tower of random weights, none of them 0 or 1 as norms and biases begin, within `Towers`."""
    torch.manual_seed(0)
    quick_gelu = change.get("quick_gelu", False)
    config = {key: value for key, value in change.items() if key != "quick_gelu"}
    text = _build_text_tower(16, CONFIG | config, quick_gelu, None if dtype == torch.float32 else dtype).eval()
    with torch.no_grad():
        for parameter in text.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    made = Towers(visual=None, text=text, scale_shape=[], logit_scale=1.0, logit_bias=None)
    towers.cast_towers(made, dtype)
    return made.requires_grad_(False)


def full_length(model: Towers, tokens: torch.Tensor) -> torch.Tensor:
    """open_clip's own embeddings of padded texts, L2-normalised float32."""
    return functional.normalize(model.text(tokens).float(), dim=-1)


def assert_exact(change: dict[str, Any], tokens: torch.Tensor) -> None:
    """In float64, where rounding hides nothing, the embeddings are those of padded texts."""
    text = tower_of(change).text.double()
    assert prefixes.can_share(text)
    torch.testing.assert_close(prefixes.encode(text, tokens), text(tokens), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"quick_gelu": True},
        {"ls_init_value": 0.3},
        {"pool_type": "eos", "eos_id": 49407},
        {"proj_bias": True},
        {"proj_type": "none"},
        {"layers": 1},
        {"norm_kwargs": {"eps": 1e-3}},
    ],
    ids=str,
)
def test_every_tower_gives_what_open_clip_does(change: dict[str, Any]) -> None:
    assert_exact(change, TOKENIZE([text for texts in PROMPTS.values() for text in texts]))


@pytest.mark.parametrize("texts", PROMPTS.values(), ids=PROMPTS)
def test_every_kind_of_prompts_gives_what_open_clip_does(texts: list[str]) -> None:
    model, tokens = tower_of({}), TOKENIZE(texts)
    torch.testing.assert_close(model.encode_texts(tokens), full_length(model, tokens), rtol=0, atol=2e-6)
    assert_exact({}, tokens)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_batches_cut_anywhere_give_the_same(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "_NODES_PER_BATCH", batch)
    assert_exact({}, TOKENIZE(ENSEMBLE))


@pytest.mark.parametrize("block", [1, 5, 1000])
def test_the_size_of_a_block_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "_BLOCK", block)
    assert_exact({}, TOKENIZE(ENSEMBLE))


@pytest.mark.parametrize("seed", range(5))
def test_random_token_ids_give_what_open_clip_does(seed: int) -> None:
    # Few ids: much is shared, at all depths; a text without an end is pooled at its first token, as in open_clip.
    tokens = torch.randint(0, 4, (200, 24), generator=torch.Generator().manual_seed(seed))
    assert_exact({"pool_type": "eos", "eos_id": 3, "vocab_size": 4}, tokens)


@pytest.mark.parametrize("change", [{}, {"quick_gelu": True}, {"ls_init_value": 0.3}], ids=str)
def test_bf16_is_near(change: dict[str, Any]) -> None:
    tokens = TOKENIZE(ENSEMBLE)
    expected = full_length(tower_of(change), tokens)
    near = tower_of(change, dtype=torch.bfloat16).encode_texts(tokens)
    assert float((near * expected).sum(dim=1).min()) > 0.9995
    means = [functional.normalize(each.view(len(NAMES), -1, 16).mean(dim=1), dim=-1) for each in (near, expected)]
    assert float((means[0] * means[1]).sum(dim=1).min()) > 0.9999


def test_a_beginning_is_computed_once() -> None:
    texts = TOKENIZE(["a photo of a cat.", "a photo of a dog.", "a photo of a dog", "the dog"])
    texts = torch.unique(texts.where(texts != 0, -1), dim=0)
    tree = prefixes.tree_of(texts, dtype=torch.float32)
    # The start, "a photo of a", "cat . end", "dog . end", another end after "dog", "the dog end".
    nodes = 1 + 4 + 3 + 3 + 1 + 3
    assert tree.tokens.shape == (1, nodes)
    assert sorted(tree.positions[0, tree.ends].tolist()) == [3, 6, 7, 7]
    on_path = (tree.mask[0, 0] == 0).sum(dim=1)
    assert on_path.tolist() == (tree.positions[0] + 1).tolist()


@pytest.mark.parametrize(
    "change", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}, {"qk_norm": True}]
)
def test_other_towers_are_left_as_they_are(change: dict[str, Any]) -> None:
    model, tokens = tower_of(change), TOKENIZE(ENSEMBLE[:80])
    assert not prefixes.can_share(model.text)
    torch.testing.assert_close(model.encode_texts(tokens), full_length(model, tokens), rtol=0, atol=5e-7)


def test_small_towers_take_more_prompts_at_a_time_than_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    shares, alone = tower_of({}), tower_of({"no_causal_mask": True, "pool_type": "last"})
    assert (shares.prompts_at_a_time(), alone.prompts_at_a_time()) == (1280, 256)
    weights = sum(p.numel() for p in shares.parameters()) - shares.text.token_embedding.weight.numel()
    monkeypatch.setattr(towers, "_PROMPTS_TIMES_WEIGHTS", 300 * weights)
    assert shares.prompts_at_a_time() == 300
