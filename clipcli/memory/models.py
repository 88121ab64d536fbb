"""Facts about models from earlier runs, so that a run without new embeddings loads no model.

They are valid while the model's files have the same sizes and times, and the libraries that read them the same
versions.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli.backbones import bundled
from clipcli.backbones.checkpoint import ONNX_FILES
from clipcli.files.identity import state_of
from clipcli.memory.memory import Memory
from clipcli.parsed import json_of
from clipcli.records import PIXELS, ModelRecord

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone
    from clipcli.backbones.checkpoint import Checkpoint

KIND = "models"
_LIBRARIES = ("open_clip_torch", "torch", "timm", "onnxruntime")
# The files of a model, by the names that open_clip and transformers read.
_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*config.json", "tokenizer*", "vocab*", "merges.txt", *ONNX_FILES)
# The environment variables that decide where models from the hub are cached.
_ENVIRONMENT = ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Facts about a model as it was loaded: all that embeddings depend on, and what scores need.

    `runtime` and `details` are sentences about how it ran and what it is. `preprocessing` is the `repr` of the whole
    record. `weights` is the path of the weights, `files` are those of `files_around` it.
    """

    name: str
    fingerprint: str
    device: str
    precision: str
    runtime: str
    details: str
    dimensions: int
    preprocessing: str
    logit_scale: float
    logit_bias: float | None
    score: str
    weights: str
    files: tuple[tuple[str | int, ...], ...]

    def record(self, device: str | None) -> ModelRecord:
        """Its record in a manifest. `device` is where it runs, `None` if nothing had to be encoded."""
        return ModelRecord(self.name, self.fingerprint, self.preprocessing, self.precision, device, self.pixels)

    @property
    def pixels(self) -> int:
        """The way in which images become pixels, as in its record."""
        return PIXELS


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model as a run requests it: its absolute name, with device and precision as given, `auto` included."""

    model: str
    device: str
    precision: str

    @property
    def key(self) -> str:
        """The cache key of the model's facts. A bundled model is another one in another installation."""
        place = str(bundled.folder(self.model)) if self.model in bundled.BUNDLED else self.model
        surroundings = [*map(_version, _LIBRARIES), *(os.environ.get(name) for name in _ENVIRONMENT)]
        content = ["known/3", place, self.device, self.precision, *surroundings]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def look_up(request: ModelRequest, *, memory: Memory) -> ModelFacts | None:
    """The facts that an earlier run left for this request; `None` without any, or if the model's files have changed."""
    kept = memory.get_bytes([request.key])
    if not kept:
        return None
    content = json_of(kept[request.key])
    content["files"] = tuple(tuple(file) for file in content["files"])
    facts = ModelFacts(**content)
    return facts if facts.files == files_around(Path(facts.weights)) else None


def keep(facts: ModelFacts, *, request: ModelRequest, memory: Memory) -> None:
    """Keep the facts for later runs with the same request."""
    memory.put_bytes({request.key: json.dumps(asdict(facts)).encode()}, kind=KIND)


def files_around(weights: Path) -> tuple[tuple[str | int, ...], ...]:
    """The files that decide which model this is: the weights, other model files in their folder, and the hub's ref.

    Each is (path, size in bytes, time of its content, time of its last change), with times in nanoseconds.
    """
    around = {weights, *(path for pattern in _FILES for path in weights.parent.glob(pattern))}
    if weights.parent.parent.name == "snapshots":
        around.add(weights.parents[2] / "refs" / "main")
    return tuple((str(path), *state_of(path)[:3]) for path in sorted(around) if path.is_file())


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def facts_of(checkpoint: Checkpoint, backbone: Backbone) -> ModelFacts:
    """Collect the facts about a loaded model."""
    return ModelFacts(
        name=checkpoint.name,
        fingerprint=backbone.fingerprint,
        device=backbone.runtime.kind,
        precision=backbone.runtime.precision,
        runtime=str(backbone.runtime),
        details=str(backbone),
        dimensions=backbone.dimensions,
        preprocessing=repr(backbone.preprocessing),
        logit_scale=backbone.logit_scale,
        logit_bias=backbone.logit_bias,
        score=backbone.score,
        weights=str(checkpoint.weights),
        files=files_around(checkpoint.weights),
    )
