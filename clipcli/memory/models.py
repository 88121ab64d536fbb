"""What is known of a model from an earlier run, so that a run that needs no new embedding need not load it.

It holds as long as the model's files are the same, by size and time, and the libraries that read them as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone
    from clipcli.backbones.checkpoint import Checkpoint

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clipcli.memory.memory import Memory

KIND = "models"
_LIBRARIES = ("open_clip_torch", "torch", "timm")
# As open_clip and transformers call what they read.
_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth", "open_clip_config.json", "tokenizer*", "vocab*", "merges.txt")
# Where a name on the hub leads to is up to these.
_ENVIRONMENT = ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model as it was loaded: what its embeddings depend on, and what scores are made with.

    `runtime` and `details` say how it ran and what it is, `preprocessing` all that pixels depend on, to the last digit.
    `weights` is the file they were read from, `files` are those around it, with their sizes and times.
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
    files: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model as a run asks for it: what is decided by the model's files and by the machine stays `auto`.

    `model` finds it from any folder.
    """

    model: str
    device: str
    precision: str

    @property
    def key(self) -> str:
        """The cache key of what is known of it."""
        surroundings = [*map(_version, _LIBRARIES), *(os.environ.get(name) for name in _ENVIRONMENT)]
        content = ["known/2", self.model, self.device, self.precision, *surroundings]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def look_up(request: ModelRequest, *, memory: Memory) -> ModelFacts | None:
    """What is known of the model, if its files are still the same."""
    kept = memory.get_bytes([request.key])
    if not kept:
        return None
    content = json.loads(kept[request.key])
    content["files"] = tuple(tuple(file) for file in content["files"])
    facts = ModelFacts(**content)
    return facts if facts.files == files_around(Path(facts.weights)) else None


def keep(facts: ModelFacts, *, request: ModelRequest, memory: Memory) -> None:
    """Keep what is known for later runs that ask for the same."""
    memory.put_bytes({request.key: json.dumps(asdict(facts)).encode()}, kind=KIND)


def files_around(weights: Path) -> tuple[tuple[str, int, int], ...]:
    """What decides which model this is: the weights, what belongs to a model beside them, and the hub's word on it.

    Each is a path with its size and its time of change in nanoseconds.
    """
    around = {weights, *(path for pattern in _FILES for path in weights.parent.glob(pattern))}
    if weights.parent.parent.name == "snapshots":
        around.add(weights.parents[2] / "refs" / "main")
    stated = [(str(path), path.stat()) for path in sorted(around) if path.is_file()]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stated)


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def facts_of(checkpoint: Checkpoint, backbone: Backbone) -> ModelFacts:
    """What later runs are to know of a model, so that they need not load it."""
    return ModelFacts(
        name=checkpoint.name,
        fingerprint=backbone.fingerprint,
        device=backbone.runtime.device,
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
