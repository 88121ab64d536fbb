"""Converts towers from torch for OpenVINO, and compares what they give with torch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clipcli.backbones import causal
from clipcli.backbones.backbone import Backbone, normalised
from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.library import open_clip
from clipcli.backbones.onnx_towers import OnnxTower
from clipcli.backbones.token_bits import as_bits
from clipcli.encoding.engines import openvino
from clipcli.encoding.engines.agreement import check, least_cosine, least_cosine_of_texts
from clipcli.encoding.engines.prepared import PreparedImages, PreparedTexts
from clipcli.encoding.engines.store import EngineRefused, Verdict
from clipcli.errors import one_line

_VOCABULARY = 49408


def converted(backbone: Backbone, tower: str) -> tuple[bytes, Verdict]:
    """A tower, `image` or `text`, for OpenVINO, and the verdict on it. Any failure is part of the verdict."""
    cosine = None
    try:
        if isinstance(backbone.towers.visual, OnnxTower) or isinstance(backbone.towers.text, OnnxTower):
            raise EngineRefused("it is in ONNX, which ONNX Runtime runs")
        content, about = _image(backbone) if tower == IMAGE else _text(backbone)
        encode = openvino.load(np.frombuffer(bytearray(content), np.uint8), precision=backbone.runtime.precision)
        if tower == IMAGE:
            images = PreparedImages.of(encode, about, name=backbone.name, runtime=backbone.runtime)
            cosine = least_cosine(of_tensors(images), backbone)
        else:
            cosine = least_cosine_of_texts(PreparedTexts.of(encode, about), backbone)
        check(cosine)
    # Converters raise nearly anything on models that they do not support.
    except Exception as e:
        return b"", Verdict(cosine=cosine, problem=one_line(e))
    return content, Verdict(cosine=cosine, problem=None, about=about)


def of_tensors(images: PreparedImages) -> Callable[[Tensor], Tensor]:
    """The encoder of a prepared image tower, from tensors to tensors."""
    return lambda pixels: torch.from_numpy(images.encode_images(pixels.numpy()))


def _image(backbone: Backbone) -> tuple[bytes, Mapping[str, Any]]:
    from clipcli.encoding.batch_size import with_batch_size

    preprocessing = backbone.preprocessing
    height, width = preprocessing.size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    content = _traced(_FromPixels(backbone), (example,), [([-1, height, width, 3], "u8")], backbone)
    batch_size = with_batch_size(backbone).runtime.batch_size
    return content, {
        "preprocessing": asdict(preprocessing),
        "dimensions": backbone.dimensions,
        "batch_size": batch_size,
    }


def _text(backbone: Backbone) -> tuple[bytes, Mapping[str, Any]]:
    tokenizer: Any = backbone.tokenizer
    tower: Any = backbone.towers.text
    if not _is_plain(tokenizer):
        raise EngineRefused("its tokenizer is not CLIP's own")
    tokens = tokenizer(["a photo of a cat", "a dog"])
    is_causal = causal.is_causal(tower)
    if is_causal:
        ends = causal.ends(tower, tokens)
        example = (tokens[:, : int(ends.max()) + 1], ends)
        content = _traced(_FromTrimmed(backbone), example, [([-1, -1], "i64"), ([-1], "i64")], backbone)
    else:
        content = _traced(_FromTokens(backbone), (tokens,), [([-1, tokens.shape[1]], "i64")], backbone)
    return content, {
        "context_length": int(tokens.shape[1]),
        "is_causal": is_causal,
        "end": causal.end_token(tower),
        "untrained": as_bits(backbone.untrained_tokens()),
    }


def _is_plain(tokenizer: Any) -> bool:
    """True for the tokenizer that `ClipTokenizer` is equal to."""
    own = open_clip.tokenizer
    return (
        type(tokenizer) is own.SimpleTokenizer
        and tokenizer.vocab_size == _VOCABULARY
        and tokenizer.clean_fn is own._clean_lower
        and tokenizer.reduction_fn is None
    )


def _traced(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[tuple[list[int], str]], backbone: Backbone
) -> bytes:
    library = openvino.library()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # Tracing warns about every branch.
        warnings.simplefilter("ignore")
        # What is computed once and kept, such as mean and std, must not be a part of the trace.
        module.eval()(*example)
        shapes = [(shape, getattr(library.Type, kind)) for shape, kind in inputs]
        given = example[0] if len(example) == 1 else example
        model = openvino.converter().convert_model(
            module, example_input=given, input=shapes if len(shapes) > 1 else shapes[0]
        )
    return openvino.compiled(model, precision=backbone.runtime.precision)


class _Converted(nn.Module):
    """A module to convert, in float32 whatever the precision: OpenVINO itself chooses what it computes in bf16."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        # A copy, as a tower in bf16 becomes float32; in inference mode tensors could not be traced.
        self.towers: Any = copy.deepcopy(backbone.towers).float()
        self.preprocessing = backbone.preprocessing


class _FromPixels(_Converted):
    """From uint8 pixels `[B, H, W, 3]` to embeddings `[B, D]`, L2-normalised."""

    def forward(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.towers.encode_image(normalised(pixels, self.preprocessing))
        return embeddings


class _FromTokens(_Converted):
    """From token ids `[B, L]` to embeddings `[B, D]`, L2-normalised."""

    def forward(self, tokens: Tensor) -> Tensor:
        embeddings: Tensor = self.towers.encode_text(tokens)
        return embeddings


class _FromTrimmed(_Converted):
    """As `_FromTokens`, without what is behind the longest text; `positions` `[B]` are those of the end tokens."""

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        features = causal.encode_trimmed(self.towers.text, tokens, positions)
        return functional.normalize(features.to(torch.float32), dim=-1)
