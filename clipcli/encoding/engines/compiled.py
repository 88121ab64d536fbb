"""The image tower by torch.compile, and on a card as a CUDA graph, for long runs."""

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
    """An encoder compiled for the runtime's batch size: uint8 pixels `[B, H, W, 3]` to embeddings `[B, D]`.

    A smaller batch is padded to that size. Half a batch or less is encoded without the compiled code: padding it would
    cost more than it gains, and a batch that was halved for lack of memory must really become smaller.
    """
    runtime = backbone.runtime
    mode = "reduce-overhead" if runtime.kind == "cuda" else None
    tower = torch.compile(backbone.towers.encode_image, dynamic=False, mode=mode)

    def encode(pixels: Tensor) -> Tensor:
        if 2 * len(pixels) <= runtime.batch_size:
            return backbone.encode_images(pixels)
        images = normalised(pixels.to(runtime.device), backbone.preprocessing).to(runtime.dtype)
        if missing := runtime.batch_size - len(pixels):
            images = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, missing))
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        # The next replay of the graph overwrites this result.
        return tower(images)[: len(pixels)].clone()

    return torch.inference_mode()(encode)


def warm_up(encode: Callable[[Tensor], Tensor], backbone: Backbone) -> None:
    """Compile now, by encoding a few batches. Raises whatever the compiler raises."""
    pixels = probe_images(backbone.preprocessing, images=backbone.runtime.batch_size)
    with warnings.catch_warnings():
        # The compiler warns about settings that might be faster.
        warnings.simplefilter("ignore")
        for _ in range(_WARM_UP):
            encode(pixels)


def speedup(encode: Callable[[Tensor], Tensor], backbone: Backbone) -> float:
    """The speedup of `encode` over torch on whole batches: the ratio of median times, measured in turn."""
    pixels = probe_images(backbone.preprocessing, images=backbone.runtime.batch_size).to(backbone.runtime.device)
    taken: tuple[list[float], list[float]] = [], []
    for _ in range(_ROUNDS):
        for seconds, way in zip(taken, (backbone.encode_images, encode), strict=True):
            seconds.append(_seconds(way, pixels))
    return statistics.median(taken[0]) / statistics.median(taken[1])


def forget() -> None:
    """Free the memory of the compiled code."""
    torch.compiler.reset()


def _seconds(encode: Callable[[Tensor], Tensor], pixels: Tensor) -> float:
    start = time.perf_counter()
    # The copy waits until the card is done.
    encode(pixels).cpu()
    return time.perf_counter() - start
