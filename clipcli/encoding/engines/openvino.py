"""Towers in OpenVINO: compiled for the processor once, kept as bytes, and run without torch."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Takes the inputs of a tower, and gives its embeddings `[B, D]`, L2-normalised float32.
Tower = Callable[..., NDArray[np.float32]]

_CONVERTER = "openvino.tools.ovc"
_HINTS = {"fp32": "f32", "bf16": "bf16"}
PRECISIONS = tuple(_HINTS)


def version() -> str | None:
    """OpenVINO's version, or `None` where it is not installed."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None


def compiled(model: Any, *, precision: str) -> bytes:
    """Compile a model of OpenVINO for this processor, as bytes for `load`. Raises whatever OpenVINO raises."""
    exported = library().Core().compile_model(model, "CPU", _settings(precision)).export_model()
    return exported.getvalue() if isinstance(exported, io.BytesIO) else bytes(exported)


def load(content: NDArray[np.uint8], *, precision: str) -> Tower:
    """Load a tower that `compiled` gave, which must stay as it is; `precision` is `fp32` or `bf16`.

    Raises whatever OpenVINO raises.
    """
    shared = library().Tensor(content, shared_memory=True)
    tower = library().Core().import_model(shared, "CPU", _settings(precision))

    def encode(*inputs: NDArray[Any], _kept: NDArray[np.uint8] = content) -> NDArray[np.float32]:
        # The next call overwrites this result.
        embeddings: NDArray[np.float32] = np.array(tower(list(inputs), share_inputs=True)[0])
        return embeddings

    return encode


def library() -> Any:
    """Import OpenVINO without its telemetry, which reports every import to a server, and without its converter.

    The converter takes more than half of the import, and few runs need it.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        return importlib.import_module("openvino")
    # OpenVINO does without what cannot be imported.
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_CONVERTER]


def converter() -> Any:
    """Import OpenVINO's converter, which has `convert_model`."""
    library()
    return importlib.import_module(_CONVERTER)


def _settings(precision: str) -> dict[str, Any]:
    threads = os.environ.get("OMP_NUM_THREADS", "")
    chosen = {"INFERENCE_NUM_THREADS": int(threads)} if threads.isdecimal() and int(threads) else {}
    return {"INFERENCE_PRECISION_HINT": _HINTS[precision], "NUM_STREAMS": 1, **chosen}
