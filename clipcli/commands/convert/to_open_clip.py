"""A folder for open_clip, which clipcli reads as well: any model can have this form that is loaded whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from clipcli.backbones.checkpoint import Architecture
from clipcli.backbones.library import open_clip, with_transformers
from clipcli.backbones.open_clip_folder import write_open_clip
from clipcli.commands.convert.form import Form, ReadBack, Source, pictures
from clipcli.commands.convert.plain import has_decoder


def _refusal(architecture: Architecture) -> str | None:
    return "it has a decoder of texts, which clipcli does not load" if has_decoder(architecture) else None


def _write(folder: Path, source: Source) -> None:
    write_open_clip(folder, source.checkpoint, source.backbone, source.backbone.towers.state_dict())


def _read(folder: Path, source: Source) -> Sequence[ReadBack]:
    if "hf_model_name" in source.checkpoint.model_cfg["text_cfg"]:
        with_transformers()
    name = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, precision="fp32", device="cpu")
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()

    def images(pixels: Tensor) -> Tensor:
        found: Tensor = model.encode_image(torch.stack([preprocess(picture) for picture in pictures(pixels)]))
        return found

    def texts(given: Sequence[str]) -> Tensor:
        found: Tensor = model.encode_text(tokenizer(list(given)))
        return found

    return [ReadBack("open_clip", images, texts)]


FORM = Form(
    packages=(),
    refusal=_refusal,
    write=_write,
    read=_read,
    use='open_clip.create_model_and_transforms("local-dir:{folder}")',
)
