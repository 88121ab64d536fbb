"""The image tower in OpenVINO: converted from torch, saved, and compiled for the processor."""

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
    """Convert the image tower with its normalisation and save it in the folder. Raises whatever OpenVINO raises."""
    openvino = _openvino()
    height, width = backbone.preprocessing.size
    # In float32, whatever the precision: OpenVINO itself chooses the operations that it computes in bf16.
    tower = _FromPixels(copy.deepcopy(backbone.towers).float(), backbone).eval()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # Tracing warns about every branch.
        warnings.simplefilter("ignore")
        example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
        model = openvino.convert_model(tower, example_input=example, input=([-1, height, width, 3], openvino.Type.u8))
    openvino.save_model(model, folder / _MODEL, compress_to_fp16=False)


def load(folder: Path, *, precision: str) -> Callable[[Tensor], Tensor]:
    """Load the encoder that `convert` saved: uint8 pixels `[B, H, W, 3]` to embeddings `[B, D]`.

    `precision` is `fp32` or `bf16`. Raises whatever OpenVINO raises.
    """
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
    """Import OpenVINO without its telemetry, which reports every import to a server."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


class _FromPixels(nn.Module):
    """The module to convert: uint8 pixels `[B, H, W, 3]` to embeddings `[B, D]`, L2-normalised."""

    def __init__(self, towers: nn.Module, backbone: Backbone) -> None:
        super().__init__()
        self.towers = towers
        self.preprocessing = backbone.preprocessing

    def forward(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.towers.encode_image(normalised(pixels, self.preprocessing))  # type: ignore[operator]
        return embeddings
