"""The image tower through torch.compile, on a card replayed as a CUDA graph: for long runs. Not yet run on a card."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from clipcli.backbones.backbone import Backbone, normalised
from clipcli.encoding.engines.agreement import probe_images

# The first calls compile, choose kernels and record the graph.
_WARM_UP = 3
_ROUNDS = 5


def encoder(backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """The encoder: embeddings `[B, D]` of uint8 pixels `[B, H, W, 3]`, compiled for batches of the runtime's size.

    A smaller batch is padded to that size. Of half of it or less the tower encodes as it is: padding would cost more
    than it brings, and what the memory does not hold at once must get smaller when it is halved.
    """
    runtime = backbone.runtime
    mode = "reduce-overhead" if runtime.device == "cuda" else None
    tower = torch.compile(backbone.towers.encode_image, dynamic=False, mode=mode)

    def encode(pixels: Tensor) -> Tensor:
        if 2 * len(pixels) <= runtime.batch_size:
            return backbone.encode_images(pixels)
        images = normalised(pixels.to(runtime.device), backbone.preprocessing).to(runtime.dtype)
        if missing := runtime.batch_size - len(pixels):
            images = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, missing))
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        # A graph that is replayed writes over its last result.
        return tower(images)[: len(pixels)].clone()

    return torch.inference_mode()(encode)


def warm_up(encode: Callable[[Tensor], Tensor], backbone: Backbone) -> None:
    """Compile now. Raises whatever the compiler raises."""
    pixels = probe_images(backbone.preprocessing, images=backbone.runtime.batch_size)
    with warnings.catch_warnings():
        # The compiler warns of settings that could be faster.
        warnings.simplefilter("ignore")
        for _ in range(_WARM_UP):
            encode(pixels)


def speedup(encode: Callable[[Tensor], Tensor], backbone: Backbone) -> float:
    """How much less time `encode` takes than torch as it is: the ratio of medians, taken in turn, of whole batches."""
    pixels = probe_images(backbone.preprocessing, images=backbone.runtime.batch_size).to(backbone.runtime.device)
    taken: tuple[list[float], list[float]] = [], []
    for _ in range(_ROUNDS):
        for seconds, way in zip(taken, (backbone.encode_images, encode), strict=True):
            seconds.append(_seconds(way, pixels))
    return statistics.median(taken[0]) / statistics.median(taken[1])


def forget() -> None:
    """Give back the memory of what was compiled."""
    torch.compiler.reset()


def _seconds(encode: Callable[[Tensor], Tensor], pixels: Tensor) -> float:
    start = time.perf_counter()
    # The copy waits for the card.
    encode(pixels).cpu()
    return time.perf_counter() - start
