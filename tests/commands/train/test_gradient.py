"""The gradient in two passes is that of the whole batch in one."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from clipcli.backbones import find
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.commands.train import recomputed
from clipcli.commands.train.attention import attend_faster
from clipcli.commands.train.batches import TrainBatch
from clipcli.commands.train.gradient import Encoder, Seeds, backward
from clipcli.commands.train.loss import ContrastiveLoss, CutMix, Features, Groups
from clipcli.commands.train.processes import Processes
from clipcli.events import result_of

COUNT = 12
CAPTIONS = [0, 1, 2, 3, 0, 4, 5, 6, 1, 7, 8, 9]
SEEDS = Seeds(seed=3, step=5, rank=0)


def encoder(folder: Path) -> Encoder:
    """The model in a directory, learning."""
    runtime = choose_runtime(device="cpu", precision="fp32")
    backbone = load(result_of(find(str(folder))()), runtime=runtime)
    backbone.towers.requires_grad_(True)
    backbone.towers.train()
    return Encoder(backbone.towers, preprocessing=backbone.preprocessing, autocast=None)


def batch(size: int, *, mixed: bool = False) -> TrainBatch:
    """Random pixels, texts of several lengths, and some captions that stand there twice."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, 49000, (COUNT, 32), generator=generator)
    for n, row in enumerate(tokens):
        row[0], row[4 + n], row[5 + n :] = 49406, 49407, 0
    slots = torch.arange(COUNT)
    groups = Groups(slots, slots, torch.tensor(CAPTIONS), -1 - slots, slots % 2)
    return TrainBatch(
        pixels=torch.randint(0, 255, (COUNT, size, size, 3), dtype=torch.uint8, generator=generator),
        tokens=tokens,
        groups=groups,
        mix=CutMix(groups.select(slots.flip(0)), torch.linspace(0.1, 1, COUNT)) if mixed else None,
        names=(),
        skipped=(),
        cut_captions=0,
    )


def gradients(
    model: Encoder, which: TrainBatch, *, loss: str, micro_batch: int | None, negatives: str = "all"
) -> tuple[Tensor, list[Tensor]]:
    """The loss, and every weight's gradient."""
    model.zero_grad(set_to_none=True)
    loss_function = ContrastiveLoss(loss, "positive", negatives, Processes())
    value = backward(model, which, loss_function=loss_function, micro_batch=micro_batch, seeds=SEEDS)
    grads = [parameter.grad for parameter in model.parameters()]
    assert all(grad is not None for grad in grads)
    return value.loss, [grad.clone() for grad in grads if grad is not None]


def assert_same(grad: Tensor, right: Tensor | None) -> None:
    """Two gradients of a weight differ by no more than rounding."""
    assert right is not None
    assert (grad - right).abs().max() <= 1e-5 * right.abs().max() + 1e-7


@pytest.mark.parametrize("micro_batch", [1, 4, 5, 11])
@pytest.mark.parametrize(
    ("name", "size", "loss", "negatives", "mixed"),
    [
        ("vit", 32, "clip", "all", False),
        ("vit", 32, "clip", "all", True),
        ("vit", 32, "clip", "data", True),
        ("sigmoid", 160, "siglip", "all", False),
    ],
)
def test_two_passes_give_the_gradient_of_one(
    models: dict[str, Path], name: str, size: int, loss: str, negatives: str, micro_batch: int, mixed: bool
) -> None:
    model, which = encoder(models[name]), batch(size, mixed=mixed)
    expected_loss, expected = gradients(model, which, loss=loss, micro_batch=None, negatives=negatives)
    value, grads = gradients(model, which, loss=loss, micro_batch=micro_batch, negatives=negatives)
    assert torch.allclose(value, expected_loss, atol=1e-6)
    for grad, right in zip(grads, expected, strict=True):
        assert_same(grad, right)


def test_dropout_is_the_same_in_both_passes(models: dict[str, Path]) -> None:
    """Compared with one graph over the same micro-batches, each with the same random numbers."""
    from open_clip.transformer import PatchDropout

    model, which = encoder(models["vit"]), batch(32)
    model.towers.visual.patch_dropout = PatchDropout(0.5)
    _, grads = gradients(model, which, loss="clip", micro_batch=4)
    made = []
    for n, start in enumerate(range(0, COUNT, 4)):
        SEEDS.seed_torch(n)
        made.append(Features(*model(which.pixels[start : start + 4], which.tokens[start : start + 4])))
    whole = Features(
        torch.cat([m.images for m in made]), torch.cat([m.texts for m in made]), made[-1].logit_scale, None
    )
    model.zero_grad(set_to_none=True)
    ContrastiveLoss("clip", "positive", "all", Processes())(whole, which.groups).loss.backward()
    expected = [parameter.grad for parameter in model.parameters()]
    for grad, right in zip(grads, expected, strict=True):
        assert_same(grad, right)


def test_batch_norm_counts_every_image_once(models: dict[str, Path]) -> None:
    one, two, which = encoder(models["resnet"]), encoder(models["resnet"]), batch(64)
    for part in (slice(0, 6), slice(6, 12)):
        one(which.pixels[part], which.tokens[part])
    gradients(two, which, loss="clip", micro_batch=6)
    expected = dict(one.named_buffers())
    for name, buffer in two.named_buffers():
        assert torch.allclose(buffer.float(), expected[name].float(), atol=1e-6), name


def test_a_locked_tower_gets_no_gradient(models: dict[str, Path]) -> None:
    model, which = encoder(models["vit"]), batch(32)
    model.towers.visual.requires_grad_(False)
    for micro_batch in (None, 4):
        model.zero_grad(set_to_none=True)
        backward(
            model,
            which,
            loss_function=ContrastiveLoss("clip", "positive", "all", Processes()),
            micro_batch=micro_batch,
            seeds=SEEDS,
        )
        assert all(parameter.grad is None for parameter in model.towers.visual.parameters())
        assert all(parameter.grad is not None for parameter in model.towers.text.parameters())


@pytest.mark.parametrize(
    ("name", "precision"), [("vit", None), ("sigmoid", None), ("vit", torch.bfloat16), ("sigmoid", torch.bfloat16)]
)
def test_activations_computed_twice_give_the_same_gradient(
    models: dict[str, Path], name: str, precision: torch.dtype | None
) -> None:
    model, which = encoder(models[name]), batch({"vit": 32, "sigmoid": 160}[name])
    model = Encoder(model.towers, preprocessing=model._preprocessing, autocast=precision)
    _, expected = gradients(model, which, loss="siglip" if name == "sigmoid" else "clip", micro_batch=None)
    for tower in (model.towers.visual, model.towers.text):
        tower.set_grad_checkpointing(True)
    _, grads = gradients(model, which, loss="siglip" if name == "sigmoid" else "clip", micro_batch=None)
    for grad, right in zip(grads, expected, strict=True):
        assert_same(grad, right)


@pytest.mark.parametrize("quick", [False, True])
def test_what_is_not_kept_is_the_same_when_computed_anew(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    """The gradient is the same to the bit, from fewer bytes."""
    model, which = encoder(models["vit"]), batch(32)
    if quick:
        for block in (*model.towers.visual.transformer.resblocks, *model.towers.text.transformer.resblocks):
            block.mlp.gelu = QuickGELU()
    needed: dict[int, int] = {}
    kept: dict[int, int] = {}
    whole = recomputed._kept

    def counted(tensor: Tensor) -> Any:
        result = whole(tensor)
        needed[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        if result is tensor:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return result

    with monkeypatch.context() as patched:
        patched.setattr(recomputed, "_kept", counted)
        loss, grads = gradients(model, which, loss="clip", micro_batch=None)
    monkeypatch.setattr("clipcli.commands.train.gradient.keeping_less", nullcontext)
    expected_loss, expected = gradients(model, which, loss="clip", micro_batch=None)
    assert torch.equal(loss, expected_loss)
    assert all(torch.equal(grad, right) for grad, right in zip(grads, expected, strict=True))
    assert sum(kept.values()) < 0.95 * sum(needed.values())


@pytest.mark.parametrize("masked", [False, True])
def test_attention_over_few_tokens_is_torchs(masked: bool) -> None:
    """What is attended to, and the gradients of tokens and weights."""
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(48, 3, batch_first=True)
    ours = copy.deepcopy(theirs)
    attend_faster(ours)
    mask = torch.full((7, 7), float("-inf")).triu(1) if masked else None
    found = []
    for module in (theirs, ours):
        tokens = torch.linspace(-2, 2, 4 * 7 * 48).view(4, 7, 48).sin().requires_grad_()
        attended, _ = module(tokens, tokens, tokens, need_weights=False, attn_mask=mask)
        attended.backward(tokens.detach().cos())
        grads = [parameter.grad for parameter in module.parameters()]
        assert all(grad is not None for grad in grads)
        found.append([attended, tokens.grad, *grads])
    assert type(ours) is not nn.MultiheadAttention
    for right, made in zip(*found, strict=True):
        torch.testing.assert_close(made, right, rtol=1e-5, atol=1e-5)
    given = tokens.detach()
    for module in (theirs, ours):
        module.requires_grad_(False)
    assert torch.equal(*(module(*[given] * 3, need_weights=False, attn_mask=mask)[0] for module in (theirs, ours)))


def test_learning_in_bf16_has_nearly_the_embeddings_of_fp32(models: dict[str, Path]) -> None:
    model, which = encoder(models["vit"]), batch(32)
    exact = Features(*model(which.pixels, which.tokens))
    reduced = Encoder(model.towers, preprocessing=model._preprocessing, autocast=torch.bfloat16)
    made = Features(*reduced(which.pixels, which.tokens))
    for ours, right in ((made.images, exact.images), (made.texts, exact.texts)):
        assert (ours * right).sum(dim=1).min() > 0.999
