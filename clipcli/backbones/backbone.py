"""The `Backbone`: a CLIP model ready to encode images and texts, with its own preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from clipcli.backbones.preprocessing import Preprocessing
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.towers import Towers
from clipcli.errors import ClipcliError

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

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Encode texts as embeddings `[B, D]`, L2-normalised float32. The tokenizer cuts texts to the context.

        Raises `ClipcliError` if the model gives NaN or infinity.
        """
        embeddings = self.towers.encode_texts(self.tokenizer(list(texts)))
        check_finite(embeddings, [f"the text '{text}'" for text in texts], self)
        return embeddings


def check_finite(embeddings: Tensor, names: Sequence[str], backbone: Backbone) -> None:
    """Raise `ClipcliError` if embeddings `[B, D]` have NaN or infinity: it names the first image or text of such."""
    finite = torch.isfinite(embeddings).all(dim=1).tolist()
    if all(finite):
        return
    precision = backbone.runtime.precision
    advice = "check the weights" if precision in ("fp32", "tf32") else "try --precision fp32"
    raise ClipcliError(f"{backbone.name} in {precision} gives no numbers for {names[finite.index(False)]}; {advice}")


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
