"""What a form is: how a model is written in it, and how another library reads that back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import Architecture, Checkpoint


@dataclass(frozen=True, slots=True)
class Source:
    """The model to convert: its checkpoint, and itself in float32 on the processor."""

    checkpoint: Checkpoint
    backbone: Backbone


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What was written, as another library reads it: `by` says which.

    `images` takes uint8 pixels `[B, H, W, 3]` of the model's size, `texts` some texts; both give embeddings `[B, D]`,
    of any length.
    """

    by: str
    images: Callable[[Tensor], Tensor]
    texts: Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True, slots=True)
class Form:
    """A form: the `packages` that it needs, and what it does.

    `refusal` says why an architecture cannot have it, or `None`. `write` fills a folder, and `read` reads that back,
    with the first reader as the one that counts; others round the weights to 16 bits themselves. `use` says how a
    program loads it, with `{folder}` for the folder.
    """

    packages: Sequence[str]
    refusal: Callable[[Architecture], str | None]
    write: Callable[[Path, Source], None]
    read: Callable[[Path, Source], Sequence[ReadBack]]
    use: str


def pictures(pixels: Tensor) -> list[Image.Image]:
    """Images of uint8 pixels `[B, H, W, 3]`."""
    return [Image.fromarray(one.numpy()) for one in pixels]
