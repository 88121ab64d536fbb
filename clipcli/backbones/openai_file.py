"""A TorchScript file as OpenAI published CLIP in: its weights tell its architecture, and no name stands before it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from clipcli.backbones.checkpoint import Checkpoint
from clipcli.backbones.weights_file import read_state
from clipcli.errors import BadFile

# Its tokenizer is open_clip's for CLIP, which this name stands for.
_TOKENIZER = "ViT-B-32"
# The numbers of an attention head in all models that OpenAI published.
_HEAD = 64
# A ResNet of CLIP gives a position to each square of so many pixels.
_STRIDE = 32


def checkpoint_of(path: Path) -> Checkpoint:
    """The checkpoint of a file. Raises `BadFile` for one that is not as OpenAI published them."""
    state = read_state(path)
    try:
        config = _model_cfg(state)
    except (KeyError, ValueError, IndexError):
        raise BadFile(
            f"{path} is a TorchScript file, but not of a CLIP as OpenAI published it; "
            "give its architecture before it, as in ViT-B-32/FILE"
        ) from None
    return Checkpoint(name=str(path), weights=path, model_cfg=config, preprocess_cfg={}, tokenizer=_TOKENIZER)


def _model_cfg(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The architecture, from the shapes of the weights. Raises `KeyError`, `ValueError` or `IndexError`."""
    width = state["ln_final.weight"].shape[0]
    return {
        "embed_dim": state["text_projection"].shape[1],
        "quick_gelu": True,
        "vision_cfg": _vit(state) if "visual.proj" in state else _resnet(state),
        "text_cfg": {
            "context_length": state["positional_embedding"].shape[0],
            "vocab_size": state["token_embedding.weight"].shape[0],
            "width": width,
            "heads": width // _HEAD,
            "layers": _count(state, r"transformer\.resblocks\.(\d+)\."),
        },
    }


def _vit(state: Mapping[str, Tensor]) -> dict[str, Any]:
    width, _, _, patch_size = state["visual.conv1.weight"].shape
    # One position is that of the class token.
    side = _side(state["visual.positional_embedding"].shape[0] - 1)
    layers = _count(state, r"visual\.transformer\.resblocks\.(\d+)\.")
    return {"image_size": side * patch_size, "layers": layers, "width": width, "patch_size": patch_size}


def _resnet(state: Mapping[str, Tensor]) -> dict[str, Any]:
    side = _side(state["visual.attnpool.positional_embedding"].shape[0] - 1)
    layers = [_count(state, rf"visual\.layer{stage}\.(\d+)\.") for stage in range(1, 5)]
    width = state["visual.layer1.0.conv1.weight"].shape[0]
    return {"image_size": side * _STRIDE, "layers": layers, "width": width}


def _side(positions: int) -> int:
    side = math.isqrt(positions)
    if side * side != positions:
        raise ValueError(positions)
    return side


def _count(names: Iterable[str], pattern: str) -> int:
    """The number of different layers that weights are of."""
    return len({found[1] for name in names if (found := re.match(pattern, name))})
