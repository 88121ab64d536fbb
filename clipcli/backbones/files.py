"""Models as `ARCH/path/to/checkpoint.pt`: your own weights for an architecture of open_clip.

A TorchScript file as OpenAI published CLIP in needs no architecture before it.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

from clipcli.backbones.activation import activation_warnings
from clipcli.backbones.checkpoint import Checkpoint, Fetch
from clipcli.backbones.tags import model_config, preprocessing, split_architecture, split_name, tag_config
from clipcli.errors import ModelUnavailable, UnknownName
from clipcli.events import Event

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


def find(model: str) -> Fetch | None:
    """The function that gets a checkpoint file, or `None` if the name does not end like one.

    Raises `UnknownName` if no architecture stands before the path.
    """
    if not model.endswith(SUFFIXES):
        return None
    arch, path = split_architecture(model)
    if arch is None:
        bare = Path(model).expanduser().absolute()
        if bare.is_file() and _is_script(bare):
            return partial(_fetch_bare, bare)
        raise UnknownName(
            f"a checkpoint file needs its architecture before it, as in ViT-B-32/{model}; clipcli models lists them"
        )
    return partial(_fetch, arch, Path(path).expanduser().absolute())


def absolute_name(model: str) -> str | None:
    """The name with the file's absolute path, or `None` if there is no such file. The architecture is not checked."""
    arch, text = split_name(model)
    path, bare = Path(text).expanduser(), Path(model).expanduser()
    if not model.endswith(SUFFIXES):
        return None
    if arch and path.is_file():
        return f"{arch}/{path.absolute()}"
    return str(bare.absolute()) if bare.is_file() else None


def _fetch(arch: str, path: Path) -> Generator[Event, None, Checkpoint]:
    if not path.is_file():
        raise ModelUnavailable(f"no checkpoint {path}; check the path after {arch}/")
    checkpoint = Checkpoint(
        name=f"{arch}/{path}",
        weights=path,
        model_cfg=model_config(arch),
        preprocess_cfg=_preprocessing(arch),
        tokenizer=arch,
    )
    yield from activation_warnings(checkpoint, arch=arch)
    return checkpoint


def _is_script(path: Path) -> bool:
    from clipcli.backbones.script import is_script

    return is_script(path)


def _fetch_bare(path: Path) -> Generator[Event, None, Checkpoint]:
    from clipcli.backbones.openai_file import checkpoint_of

    checkpoint = checkpoint_of(path)
    yield from activation_warnings(checkpoint)
    return checkpoint


def _preprocessing(arch: str) -> dict[str, Any]:
    """The preprocessing that all published weights of the architecture share; empty if they differ.

    A file of weights alone does not state its own.
    """
    from clipcli.backbones.library import open_clip

    stated = [preprocessing(tag_config(arch, tag)) for tag in open_clip.list_pretrained_tags_by_model(arch)]
    return stated[0] if stated and all(s == stated[0] for s in stated) else {}
