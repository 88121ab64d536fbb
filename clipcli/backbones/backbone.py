"""The `Backbone`: a CLIP model ready to encode images and texts, with its own preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clipcli.backbones.encoders import check_finite
from clipcli.backbones.onnx_towers import OnnxTower
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.towers import Towers

# Turns texts into token ids `[B, L]`. A second argument may set another context length than the model's.
Tokenizer = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Backbone:
    """Model, tokenizer and preprocessing of one checkpoint on one device.

    `towers` holds only the towers that were requested. `dimensions` is `D`, the length of an embedding. `logit_scale`
    is the factor itself, not its logarithm. `score` is the kind of score the model was trained for, `softmax` or
    `sigmoid`. `engine`, if set, encodes images in place of the image tower.
    """

    name: str
    fingerprint: str
    towers: Towers
    tokenizer: Tokenizer
    preprocessing: Preprocessing
    dimensions: int
    logit_scale: float
    logit_bias: float | None
    score: str
    runtime: Runtime
    engine: Callable[[Tensor], Tensor] | None = None
    # The engine of the text tower.
    text_engine: ClassVar[str] = "torch"

    def __str__(self) -> str:
        bias = "" if self.logit_bias is None else f" and bias {self.logit_bias:.3g}"
        score = f"{self.score} at scale {self.logit_scale:.4g}{bias}"
        return f"{self.preprocessing}; {self.dimensions} dimensions; {score}; weights {self.fingerprint[:12]}"

    @torch.inference_mode()
    def encode_images(self, pixels: Tensor) -> Tensor:
        """Encode uint8 pixels `[B, H, W, 3]` as image embeddings `[B, D]`, L2-normalised float32."""
        if self.engine is not None:
            return self.engine(pixels)
        images = normalised(pixels.to(self.runtime.device), self.preprocessing)
        return self.towers.encode_image(images.to(self.runtime.dtype))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As `encode_texts`, in numpy."""
        embeddings: NDArray[np.float32] = self.encode_texts(texts).cpu().numpy()
        return embeddings

    def normalised_means(self, groups: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """The mean of each group of embeddings `[N, D]`, L2-normalised: `[D]`."""
        means = torch.stack([torch.from_numpy(group).mean(dim=0) for group in groups])
        normalised: NDArray[np.float32] = functional.normalize(means, dim=-1).numpy()
        return list(normalised)

    def prompts_at_a_time(self) -> int:
        """The number of prompts to encode together."""
        return self.towers.prompts_at_a_time()

    def untrained_tokens(self) -> frozenset[int]:
        """The tokens whose embedding is zero; none where the text tower is not open_clip's own, now or before ONNX."""
        if isinstance(self.towers.text, OnnxTower):
            return self.towers.text.untrained
        table = getattr(getattr(self.towers.text, "token_embedding", None), "weight", None)
        return frozenset() if table is None else frozenset((table == 0).all(dim=1).nonzero().flatten().tolist())

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Encode texts as embeddings `[B, D]`, L2-normalised float32. The tokenizer cuts texts to the context.

        Raises `ClipcliError` if the model gives NaN or infinity.
        """
        embeddings = self.towers.encode_texts(self.tokenizer(list(texts)))
        check_finite(embeddings, [f"the text '{text}'" for text in texts], self)
        return embeddings


def normalised(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Turn uint8 pixels `[B, H, W, 3]` into float32 images `[B, 3, H, W]`, normalised by mean and std."""
    # The same operations in the same order as torchvision's ToTensor and Normalize, for bit-identical inputs.
    images = pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    mean, std = (_per_channel(values, images.device) for values in (preprocessing.mean, preprocessing.std))
    return images.sub_(mean).div_(std)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Values per channel as `[1, 3, 1, 1]`, made once for each device: a card waits for what is copied to it."""
    return torch.tensor(values, device=device).view(1, -1, 1, 1)
