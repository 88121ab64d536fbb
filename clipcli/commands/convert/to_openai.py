"""A TorchScript file as OpenAI published CLIP in, for plain CLIP with QuickGELU and OpenAI's preprocessing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clipcli.backbones.backbone import normalised
from clipcli.backbones.checkpoint import CONFIG_NAME, Architecture
from clipcli.backbones.directory import SCRIPT_NAME
from clipcli.backbones.library import open_clip
from clipcli.backbones.open_clip_folder import as_json, config_of
from clipcli.commands.convert.form import Form, ReadBack, Source
from clipcli.commands.convert.plain import image_size, why_not_plain
from clipcli.commands.convert.tracing import traceable

_HEAD, _RATIO = 64, 4.0


def _refusal(architecture: Architecture) -> str | None:
    problem = why_not_plain(architecture)
    if problem is not None:
        return problem
    stated = architecture.model_cfg
    vision = open_clip.model.CLIPVisionCfg(**stated["vision_cfg"])
    text = open_clip.model.CLIPTextCfg(**stated["text_cfg"])
    if not stated.get("quick_gelu"):
        return "it has GELU in place of QuickGELU"
    if {vision.head_width, text.width // text.heads} != {_HEAD} or {vision.mlp_ratio, text.mlp_ratio} != {_RATIO}:
        return f"its heads are not of {_HEAD} numbers, or its layers not {_RATIO:g} times as wide inside"
    usual = open_clip.transform.PreprocessCfg()
    given = {name: value for name, value in architecture.preprocess_cfg.items() if value is not None}
    for name in ("mean", "std", "interpolation", "resize_mode"):
        if list(_listed(given.get(name, getattr(usual, name)))) != list(_listed(getattr(usual, name))):
            return f"its images have another {name.replace('_', ' ')} than OpenAI's"
    return None


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


class _Published(nn.Module):
    """The model with the names and methods of those that OpenAI published."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        towers: Any = source.backbone.towers
        text = towers.text
        self.visual, self.transformer, self.ln_final = towers.visual, text.transformer, text.ln_final
        self.token_embedding, self.positional_embedding = text.token_embedding, text.positional_embedding
        self.text_projection, self.logit_scale = text.text_projection, towers.logit_scale
        for name, number in (
            ("input_resolution", image_size(source.checkpoint)),
            ("context_length", text.context_length),
            ("vocab_size", text.vocab_size),
        ):
            self.register_buffer(name, torch.tensor(number))
        # In a tuple it is no weight: it becomes a constant of the script.
        self._mask = (text.attn_mask,)

    def encode_image(self, image: Tensor) -> Tensor:
        """Embeddings `[B, D]` of normalised images `[B, 3, H, W]`, of any length."""
        found: Tensor = self.visual(image)
        return found

    def encode_text(self, text: Tensor) -> Tensor:
        """Embeddings `[B, D]` of token ids `[B, L]`, of any length."""
        x = self.token_embedding(text) + self.positional_embedding
        x = self.ln_final(self.transformer(x, attn_mask=self._mask[0]))
        found: Tensor = x[torch.arange(x.shape[0]), text.argmax(dim=-1)] @ self.text_projection
        return found

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of images and texts `[B, N]`, and of texts and images."""
        images, texts = functional.normalize(self.encode_image(image)), functional.normalize(self.encode_text(text))
        logits = self.logit_scale.exp() * images @ texts.t()
        return logits, logits.t()


def _write(folder: Path, source: Source) -> None:
    size = image_size(source.checkpoint)
    image, text = torch.zeros(2, 3, size, size), source.backbone.tokenizer(["a", "a photo"])
    with traceable(), warnings.catch_warnings():
        # torch.jit is there to stay in old files, and deprecated for new ones; tracing warns about every branch.
        warnings.simplefilter("ignore")
        script = torch.jit.trace_module(  # type: ignore[no-untyped-call]
            _Published(source).eval(),
            {"forward": (image, text), "encode_image": image, "encode_text": text},
            check_trace=False,
        )
        # Given a path, torch ends the process on a full disk.
        with (folder / SCRIPT_NAME).open("wb") as file:
            torch.jit.save(script, file)
    # For clipcli; OpenAI's own code knows all that it says.
    (folder / CONFIG_NAME).write_text(as_json(config_of(source.checkpoint, source.backbone)), encoding="utf-8")


def _read(folder: Path, source: Source) -> Sequence[ReadBack]:
    path = str(folder / SCRIPT_NAME)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        loaded = open_clip.load_openai_model(path, precision="fp32", device="cpu")
    return [
        _encoding(script, source, by=f"torch.jit of torch {torch.__version__}"),
        _encoding(loaded, source, by="open_clip.load_openai_model, like OpenAI's clip.load,"),
    ]


def _encoding(model: Any, source: Source, *, by: str) -> ReadBack:
    preprocessing, tokenizer = source.backbone.preprocessing, source.backbone.tokenizer
    return ReadBack(
        by,
        lambda pixels: model.encode_image(normalised(pixels, preprocessing)),
        lambda texts: model.encode_text(tokenizer(list(texts))),
    )


FORM = Form(
    packages=(),
    refusal=_refusal,
    write=_write,
    read=_read,
    use=f'torch.jit.load("{{folder}}/{SCRIPT_NAME}")',
)
