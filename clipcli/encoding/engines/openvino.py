"""The image tower in OpenVINO: converted from torch, kept, compiled for the processor."""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipcli.backbones.backbone import Backbone, normalised

_MODEL = "model.xml"
_HINTS = {"fp32": "f32", "bf16": "bf16"}
PRECISIONS = tuple(_HINTS)


def version() -> str | None:
    """OpenVINO's version, or `None` where it is not installed."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None


def convert(backbone: Backbone, folder: Path) -> None:
    """Write the image tower, with its normalisation, into the folder. Raises whatever the conversion raises."""
    openvino = _openvino()
    height, width = backbone.preprocessing.size
    # Of the tower in bf16 the weights are what counts; OpenVINO chooses by itself where it computes in bf16.
    tower = _FromPixels(copy.deepcopy(backbone.towers).float(), backbone).eval()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # Tracing warns of every branch.
        warnings.simplefilter("ignore")
        example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
        model = openvino.convert_model(tower, example_input=example, input=([-1, height, width, 3], openvino.Type.u8))
    openvino.save_model(model, folder / _MODEL, compress_to_fp16=False)


def load(folder: Path, *, precision: str) -> Callable[[Tensor], Tensor]:
    """The encoder that `convert` wrote: embeddings `[B, D]` of uint8 pixels `[B, H, W, 3]`."""
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = _openvino().Core().compile_model(folder / _MODEL, "CPU", settings)

    def encode(pixels: Tensor) -> Tensor:
        return torch.from_numpy(compiled([pixels.numpy()], share_inputs=True)[0])

    return encode


def _openvino() -> Any:
    """The package, without the part of it that reports every import to a server."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


class _FromPixels(nn.Module):
    """Embeddings `[B, D]`, L2-normalised, of uint8 pixels `[B, H, W, 3]`."""

    def __init__(self, towers: nn.Module, backbone: Backbone) -> None:
        super().__init__()
        self.towers = towers
        self.preprocessing = backbone.preprocessing

    def forward(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.towers.encode_image(normalised(pixels, self.preprocessing))  # type: ignore[operator]
        return embeddings
