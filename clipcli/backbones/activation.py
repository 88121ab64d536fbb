"""Warns of weights that were trained with QuickGELU in an architecture with GELU, or the other way round.

Nothing in the shapes of weights shows the difference, and scores get worse without an error. Where the origin of
weights is not known, nothing is said.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from clipcli.backbones.checkpoint import CONFIG_NAME, Checkpoint, file_hash
from clipcli.backbones.transformers_config import CONFIG_NAME as TRANSFORMERS_CONFIG_NAME
from clipcli.backbones.transformers_config import activation_in
from clipcli.events import Warned
from clipcli.parsed import json_of

_SUFFIX = "-quickgelu"
# Buffers of the models that OpenAI published, which no other code saves.
_OPENAI_BUFFERS = (b"input_resolution", b"context_length", b"vocab_size")
_NAMES = {True: "QuickGELU", False: "GELU"}
_HASH_IN_URL = re.compile(r"/([0-9a-f]{64})/|-([0-9a-f]{8})\.pth?$")


def activation_warnings(checkpoint: Checkpoint, *, arch: str | None = None) -> Iterator[Warned]:
    """One warning where the activation does not fit the weights; `arch` is the architecture that the user named."""
    trained, has = _trained_with_quick_gelu(checkpoint.weights), bool(checkpoint.model_cfg.get("quick_gelu"))
    if trained is None or trained == has:
        return
    yield Warned(
        f"{checkpoint.name}: these weights were trained with {_NAMES[trained]}, and the architecture has "
        f"{_NAMES[has]}, so that scores are wrong; {_remedy(arch, checkpoint.weights, quick_gelu=trained)}"
    )


def _remedy(arch: str | None, weights: Path, *, quick_gelu: bool) -> str:
    from clipcli.backbones.library import open_clip

    other = None if arch is None else f"{arch}{_SUFFIX}" if quick_gelu else arch.removesuffix(_SUFFIX)
    if other in open_clip.list_models() and other != arch:
        return f"give --model {other}/{weights}"
    return f'write "quick_gelu": {json.dumps(quick_gelu)} in the model_cfg of an {CONFIG_NAME} beside them'


def _trained_with_quick_gelu(weights: Path) -> bool | None:
    """True for weights that were trained with QuickGELU, false for GELU; `None` where that is not known."""
    if _is_from_openai(weights):
        return True
    stated = _stated_beside(weights)
    if stated is not None:
        return stated
    digest = file_hash(weights)
    return next((quick for start, quick in _published().items() if digest.startswith(start)), None)


def _is_from_openai(weights: Path) -> bool:
    """True where a file holds the buffers of OpenAI's models. Only its table of contents is read."""
    if weights.suffix == ".safetensors":
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            contents = file.read(min(size, weights.stat().st_size))
    elif zipfile.is_zipfile(weights):
        with zipfile.ZipFile(weights) as archive:
            contents = b"".join(archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl"))
    else:
        return False
    return all(name in contents for name in _OPENAI_BUFFERS)


def _stated_beside(weights: Path) -> bool | None:
    """What a configuration beside the weights says, of open_clip or of transformers."""
    try:
        config = json_of((weights.parent / CONFIG_NAME).read_text(encoding="utf-8"))["model_cfg"]
        return bool(config.get("quick_gelu"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return activation_in(weights.parent / TRANSFORMERS_CONFIG_NAME)


@lru_cache(maxsize=1)
def _published() -> dict[str, bool]:
    """For files that were published with a hash in their address: the start of it, and if QuickGELU was used."""
    from clipcli.backbones.library import open_clip

    found = {}
    for arch, tag in open_clip.list_pretrained():
        config = open_clip.get_pretrained_cfg(arch, tag)
        hashed = _HASH_IN_URL.search(config.get("url") or "")
        if hashed:
            found[hashed[1] or hashed[2]] = bool(config.get("quick_gelu"))
    return found
