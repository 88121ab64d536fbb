"""Towers in ONNX, as `clipcli convert` writes them: run by ONNX Runtime on the processor, in place of torch.

`image.onnx` takes normalised images, `text.onnx` token ids; both give L2-normalised embeddings. The configuration
beside them says the rest, in a table `onnx`. A file holds no code, only operations that ONNX Runtime itself has.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipcli.backbones.checkpoint import CONFIG_NAME, IMAGE, ONNX_TABLE, TEXT, Checkpoint
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.token_bits import of_bits
from clipcli.backbones.towers import Towers
from clipcli.errors import BadFile, MissingExtra, UsageError, install, one_line
from clipcli.parsed import json_of

SUFFIX = ".onnx"
FILES = {IMAGE: f"image{SUFFIX}", TEXT: f"text{SUFFIX}"}
INPUTS = {IMAGE: "pixel_values", TEXT: "input_ids"}
OUTPUTS = {IMAGE: "image_embeds", TEXT: "text_embeds"}


class OnnxTower(nn.Module):
    """A tower in ONNX.

    `end` is the id of the end token, `None` for the largest of a row; of a causal text tower what is behind the longest
    text is left out. `untrained` are the tokens whose embedding is zero, given as bits, one for each token.
    """

    def __init__(self, path: Path, tower: str, *, is_causal: bool, end: int | None, untrained: str) -> None:
        super().__init__()
        self._session, self._tower = session(path), tower
        self._is_causal, self._end = is_causal, end
        self.untrained = of_bits(untrained)

    def forward(self, given: Tensor) -> Tensor:
        """Embeddings `[B, D]` of normalised images `[B, 3, H, W]`, or of token ids `[B, L]`."""
        if self._is_causal:
            ends = (given if self._end is None else (given == self._end).to(torch.int)).argmax(dim=-1)
            given = given[:, : int(ends.max()) + 1]
        [found] = self._session.run(None, {INPUTS[self._tower]: given.numpy()})
        return torch.from_numpy(found)


def is_onnx(checkpoint: Checkpoint) -> bool:
    """True for a model in ONNX."""
    return checkpoint.weights.suffix == SUFFIX


def load_onnx(checkpoint: Checkpoint, *, towers: Sequence[str], runtime: Runtime, inference: bool) -> Towers:
    """Load the named towers.

    Raises `UsageError` for what a model in ONNX cannot do, `MissingExtra` without ONNX Runtime, and `BadFile` for files
    that `clipcli convert` has not written.
    """
    if not inference:
        raise UsageError(f"{checkpoint.name} is in ONNX, which only runs; take the model that it was made of")
    if runtime.kind != "cpu":
        raise UsageError(f"{checkpoint.name} is in ONNX, and runs on the processor here; give --device cpu")
    if runtime.precision != "fp32":
        raise UsageError(f"{checkpoint.name} is in ONNX, and computes in fp32; give --precision fp32")
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingExtra(f"{checkpoint.name} is in ONNX, and needs ONNX Runtime; run {install('onnxruntime')}")
    folder = checkpoint.weights.parent
    try:
        stated = json_of((folder / CONFIG_NAME).read_text(encoding="utf-8"))[ONNX_TABLE]
        built = {name: _tower(folder, name, stated) for name in (IMAGE, TEXT) if name in towers}
        return Towers(
            visual=built.get(IMAGE),
            text=built.get(TEXT),
            scale_shape=[],
            logit_scale=float(stated["logit_scale"]),
            logit_bias=None if stated["logit_bias"] is None else float(stated["logit_bias"]),
        )
    except BadFile:
        raise
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise BadFile(f"{folder / CONFIG_NAME} is not of a model in ONNX ({one_line(e)}); convert it anew") from None


def _tower(folder: Path, name: str, stated: Mapping[str, Any]) -> OnnxTower:
    about = stated["text"] if name == TEXT else {"is_causal": False, "end": None, "untrained": ""}
    return OnnxTower(folder / FILES[name], name, **about)


def session(path: Path) -> Any:
    """A session of ONNX Runtime on the processor. Raises `BadFile`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Only errors: it warns of its own optimisations.
    options.log_severity_level = 3
    threads = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # It raises nearly anything on a broken file.
    except Exception as e:
        raise BadFile(f"ONNX Runtime does not read {path} ({one_line(e)}); convert the model anew") from None
