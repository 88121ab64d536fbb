"""Architectures to pretrain: by a name that open_clip knows, or from a `.json` configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipcli.backbones import tags
from clipcli.backbones.checkpoint import CONFIG_NAME, Architecture, read_config
from clipcli.errors import BadFile, InputNotFound, unknown
from clipcli.parsed import json_of

_PARTS = ("embed_dim", "vision_cfg", "text_cfg")


def find_architecture(arch: str) -> Architecture:
    """Look up an architecture by its name, as in `ViT-B-32`, or read it from a `.json` file.

    The file holds open_clip's model configuration alone, or is a whole `open_clip_config.json`. Raises `UnknownName`,
    `InputNotFound` or `BadFile`.
    """
    if arch.endswith(".json"):
        return _in_file(Path(arch).expanduser().absolute())
    from clipcli.backbones.library import open_clip

    arch = tags.OPENAI_NAMES.get(arch, arch)
    known = open_clip.list_models()
    if arch not in known:
        raise unknown("architecture", arch, known, see="clipcli models")
    return Architecture(name=arch, model_cfg=tags.model_config(arch), preprocess_cfg={}, tokenizer=arch)


def _in_file(path: Path) -> Architecture:
    if path.name == CONFIG_NAME and path.is_file():
        stated = read_config(path, name=str(path))
        return Architecture(name=path.parent.name, tokenizer=f"local-dir:{path.parent}", **stated)
    from clipcli.backbones.library import open_clip

    config = _read(path)
    # open_clip finds a tokenizer by the name of its configuration, so it must know this one.
    open_clip.add_model_config(path)
    return Architecture(name=path.stem, model_cfg=config, preprocess_cfg={}, tokenizer=path.stem)


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json_of(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise InputNotFound(f"cannot read {path}: {e.strerror}; check the path after --arch") from None
    except ValueError as e:
        raise BadFile(f"{path} is not JSON ({e}); see examples/") from None
    parts = [config.get(part) for part in _PARTS] if isinstance(config, dict) else []
    if [type(part) for part in parts] != [int, dict, dict]:
        raise BadFile(
            f"{path} is not a model configuration; it needs a number embed_dim, and tables vision_cfg, text_cfg"
        )
    return dict(config)
