"""EfficientNet-Lite (Google, Apache-2.0), trained on ImageNet, as the image tower of a CLIP model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sources
import torch
from torch import Tensor, nn

TIMM_NAME = "tf_efficientnet_lite{}"


@dataclass(frozen=True, slots=True)
class Head:
    """The linear head that tells ImageNet's 1,000 classes by the features: `weight` is `[1000, F]`, `bias` `[1000]`."""

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """The logits `[N, 1000]` of features `[N, F]`."""
        return features @ self.weight.T + self.bias


def size_of(vision_cfg: dict[str, Any]) -> int:
    """Which EfficientNet-Lite a model has: 0, 1 or 2."""
    return [TIMM_NAME.format(size) for size in range(3)].index(vision_cfg["timm_model_name"])


def fill(trunk: nn.Module, *, size: int, folder: Path) -> Head:
    """Put the weights into timm's model without its head, and return the head.

    The package names them otherwise than timm, in the same order and with the same shapes.
    """
    stored = list(torch.load(sources.lite_weights(folder, size), map_location="cpu", weights_only=True).values())
    *body, weight, bias = stored
    wanted = trunk.state_dict()
    if [t.shape for t in body] != [t.shape for t in wanted.values()]:
        raise SystemExit("the package's weights are not those of timm's model; get timm 1.0")
    trunk.load_state_dict(dict(zip(wanted, body, strict=True)))
    return Head(weight, bias)
