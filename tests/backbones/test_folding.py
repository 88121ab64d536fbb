"""Batch norms in an image tower become part of its convolutions, and embeddings stay what they were."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from clipcli.backbones.folding import fold_batch_norms
from clipcli.backbones.towers import batch_norms


def learned(tower: nn.Module) -> nn.Module:
    """The tower in inference, as if its batch norms had seen images."""
    torch.manual_seed(0)
    for norm in batch_norms(tower):
        for tensor in (norm.running_mean, norm.bias):
            nn.init.normal_(tensor)
        for tensor in (norm.running_var, norm.weight):
            nn.init.uniform_(tensor, 0.5, 2)
    return tower.eval().requires_grad_(False)


def clip_resnet() -> nn.Module:
    from open_clip.modified_resnet import ModifiedResNet

    return ModifiedResNet(layers=[1, 2, 1, 1], output_dim=16, heads=8, image_size=64, width=16)


@pytest.mark.parametrize(
    "make",
    [
        clip_resnet,
        lambda: timm.create_model("test_efficientnet", num_classes=0),
        lambda: timm.create_model("test_resnet", num_classes=0),
        lambda: timm.create_model("tf_efficientnet_lite0", num_classes=0),
    ],
    ids=["CLIP's ResNet", "EfficientNet", "ResNet", "EfficientNet-Lite"],
)
def test_all_norms_are_folded_and_features_stay(make) -> None:  # type: ignore[no-untyped-def]
    tower = learned(make())
    images = torch.randn(2, 3, 64, 64)
    expected, norms = tower(images), len(batch_norms(tower))
    assert fold_batch_norms(tower) == norms > 0
    assert batch_norms(tower) == []
    found = tower(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


class Twice(nn.Module):
    """One convolution with two uses, and one whose output is used beside its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.first, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.kept, self.third = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.alone, self.fourth = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.second(self.shared(self.first(self.shared(images))))
        kept = self.kept(features)
        result: Tensor = self.fourth(self.alone(kept + self.third(kept)))
        return result


def test_a_convolution_with_another_use_keeps_its_norm() -> None:
    tower = learned(Twice())
    images = torch.randn(2, 3, 4, 4)
    expected = tower(images)
    assert fold_batch_norms(tower) == 1
    torch.testing.assert_close(tower(images), expected, rtol=1e-4, atol=1e-4)
    assert isinstance(tower.fourth, nn.Identity)


class Decides(Twice):
    """Its computation depends on the images."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) if images.sum() > 0 else images


@pytest.mark.parametrize("tower", [Decides(), nn.Sequential(nn.Conv2d(3, 3, 1), nn.LayerNorm(4))])
def test_what_cannot_be_traced_or_has_no_norms_stays(tower: nn.Module) -> None:
    before = copy.deepcopy(tower)
    assert fold_batch_norms(tower) == 0
    assert str(tower) == str(before)
