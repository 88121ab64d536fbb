"""The `Checkpoint`: a model's files and configuration, before anything is loaded."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from clipcli.backbones.devices import PRECISIONS
from clipcli.errors import BadFile, ModelUnavailable
from clipcli.events import Event
from clipcli.files.identity import state_of
from clipcli.parsed import json_of

# The two towers, by name.
IMAGE, TEXT = "image", "text"
CONFIG_NAME = "open_clip_config.json"
# What a model in ONNX consists of: a file a tower, and one beside it for weights of more than 2 GB.
ONNX_FILES = ("*.onnx", "*.onnx.data")
# The table of its configuration that says what the files do not.
ONNX_TABLE = "onnx"
_TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A model without its weights: configuration, preprocessing and tokenizer.

    `model_cfg` and `preprocess_cfg` are open_clip's dictionaries. `tokenizer` is the name that
    `open_clip.get_tokenizer` takes. `precision` is the one that `auto` takes with this model, if it states any.
    """

    name: str
    model_cfg: Mapping[str, Any]
    preprocess_cfg: Mapping[str, Any]
    tokenizer: str
    precision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Architecture):
    """An architecture with the file of its weights."""

    weights: Path


class Config(TypedDict):
    """What an `open_clip_config.json` says, as an `Architecture` has it. `precision` is clipcli's own addition."""

    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    precision: str | None


# Gets a checkpoint's files, downloading them if need be. Raises `ModelUnavailable` or `BadFile`.
Fetch = Callable[[], Generator[Event, None, Checkpoint]]


def fingerprint_of(checkpoint: Checkpoint) -> str:
    """Hash the weights, the architecture and the tokenizer's files: 64 hexadecimal digits.

    Of a model in ONNX its table counts as well: the scale, and how texts end.

    The same files give the same fingerprint in any folder.
    """
    architecture = json.dumps(checkpoint.model_cfg, sort_keys=True, default=str)
    files = [checkpoint.weights, *_beside(checkpoint.weights), *_tokenizer_files(checkpoint)]
    parts = [*map(file_hash, files), architecture, *_onnx_table(checkpoint.weights)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def read_config(path: Path, *, name: str) -> Config:
    """Read an `open_clip_config.json`; `name` is the model's, for messages.

    Raises `ModelUnavailable` if there is no such file, and `BadFile` if it is no configuration.
    """
    try:
        config = json_of(path.read_text(encoding="utf-8"))
        model_cfg = config["model_cfg"]
        preprocess_cfg = config.get("preprocess_cfg") or {}
        if not all(key in model_cfg for key in ("embed_dim", "vision_cfg", "text_cfg")):
            raise KeyError("model_cfg needs embed_dim, vision_cfg and text_cfg")
        if not all(isinstance(part, dict) for part in (model_cfg["vision_cfg"], model_cfg["text_cfg"], preprocess_cfg)):
            raise TypeError("vision_cfg, text_cfg and preprocess_cfg are tables")
        precision = config.get("precision")
        if precision is not None and precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}")
    except FileNotFoundError:
        raise ModelUnavailable(f"{name} has no {CONFIG_NAME}; give a folder saved by open_clip or clipcli") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise BadFile(f"{path} is not an open_clip configuration ({e}); save the model anew with open_clip") from None
    return Config(model_cfg=model_cfg, preprocess_cfg=preprocess_cfg, precision=precision)


def _beside(weights: Path) -> list[Path]:
    """The other files that hold weights, of a model in ONNX, sorted by name."""
    found = [path for pattern in ONNX_FILES for path in weights.parent.glob(pattern) if path != weights]
    return sorted(found) if weights.suffix == ".onnx" else []


def _onnx_table(weights: Path) -> list[str]:
    """The table that the configuration of a model in ONNX has for it, if it has one."""
    if weights.suffix != ".onnx":
        return []
    try:
        config = json_of((weights.parent / CONFIG_NAME).read_text(encoding="utf-8"))
        return [json.dumps(config[ONNX_TABLE], sort_keys=True)]
    # Loading such a model says what is wrong.
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _tokenizer_files(checkpoint: Checkpoint) -> list[Path]:
    """The files of a Hugging Face tokenizer in the folder of the weights, sorted by name."""
    if not checkpoint.tokenizer.startswith("local-dir:") or "hf_tokenizer_name" not in checkpoint.model_cfg["text_cfg"]:
        return []
    folder = checkpoint.weights.parent
    return sorted(path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern))


def file_hash(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits; a process computes it once."""
    real = path.resolve()
    # The hub's cache names a file by the SHA-256 of its content.
    if real.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name
    return _file_hash(real, state_of(real))


@functools.lru_cache(maxsize=16)
def _file_hash(path: Path, _state: tuple[int, ...]) -> str:
    """As `file_hash`, anew where the file's state changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
