"""How many images a second a model encodes on this machine: measured when asked for, and remembered.

The weights do not matter for it, so that a model need not be downloaded to be measured.
"""

from __future__ import annotations

import hashlib
import json
import time

import torch

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import Architecture
from clipcli.backbones.devices import processor
from clipcli.backbones.load import stand_in
from clipcli.backbones.runtime import Runtime
from clipcli.encoding.batch_size import with_batch_size
from clipcli.encoding.engines.agreement import probe_images
from clipcli.memory.memory import Memory

KIND = "speeds"
_SECONDS = 2.0


def machine(runtime: Runtime) -> str:
    """What a speed depends on beside the model and its precision: the card, or the processor and its threads."""
    if runtime.kind == "cuda":
        return torch.cuda.get_device_name(runtime.device)
    threads = torch.get_num_threads()
    return processor() + ("" if runtime.kind == "mps" else f", {threads} thread{'s' if threads > 1 else ''}")


def remembered(architecture: Architecture, *, runtime: Runtime, memory: Memory) -> float | None:
    """The images a second that were measured of this architecture on this machine, if they were."""
    key = _key(architecture, runtime)
    kept = memory.get_bytes([key])
    return float(kept[key]) if kept else None


def measure(architecture: Architecture, *, runtime: Runtime, memory: Memory) -> float:
    """Measure the images a second that torch encodes of this architecture, without decoding, and remember it.

    Raises `BadFile`, `ModelUnavailable` or `MissingExtra`, as `load` does.
    """
    speed = images_per_second(with_batch_size(stand_in(architecture, runtime=runtime)))
    memory.put_bytes({_key(architecture, runtime): repr(speed).encode()}, kind=KIND)
    return speed


def images_per_second(backbone: Backbone) -> float:
    """The images a second that the backbone encodes, in its own batches."""
    batch = probe_images(backbone.preprocessing, images=backbone.runtime.batch_size)
    # The first call also loads libraries.
    _seconds(backbone, batch[:1])
    one = _seconds(backbone, batch[:1])
    if one > _SECONDS:
        return 1 / one
    _seconds(backbone, batch)
    spent, batches = 0.0, 0
    while spent < _SECONDS:
        spent, batches = spent + _seconds(backbone, batch), batches + 1
    return batches * len(batch) / spent


def _seconds(backbone: Backbone, pixels: torch.Tensor) -> float:
    began = time.perf_counter()
    # On the CPU, the embeddings have been computed.
    backbone.encode_images(pixels).cpu()
    return time.perf_counter() - began


def _key(architecture: Architecture, runtime: Runtime) -> str:
    content = [
        "speed/1",
        architecture.model_cfg,
        machine(runtime),
        runtime.device,
        runtime.precision,
        torch.__version__,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
