"""The image and text towers of a CLIP model, built by open_clip, each only if it is needed.

Weights are named as in open_clip's `CustomTextCLIP`: `visual.*`, `text.*`, `logit_scale`, `logit_bias`.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from clipcli.backbones import causal, prefixes
from clipcli.backbones.checkpoint import IMAGE, TEXT
from clipcli.backbones.library import open_clip, with_transformers
from clipcli.errors import BadFile, MissingExtra, ModelUnavailable, install

# The logarithm of 1 / 0.07, the temperature that CLIP starts from.
INIT_LOGIT_SCALE = math.log(1 / 0.07)
_TEXTS_PER_BATCH = 64
# Prompts encoded at a time: as many as keep a processor busy for a few seconds, at some five new positions a prompt.
_LEAST_PROMPTS, _MOST_PROMPTS, _PROMPTS_TIMES_WEIGHTS = 256, 1280, 60_000_000_000


class Towers(nn.Module):
    """Image tower, text tower, or both, with the logit scale (its logarithm, as it is trained) and the logit bias."""

    def __init__(
        self,
        *,
        visual: nn.Module | None,
        text: nn.Module | None,
        scale_shape: Sequence[int],
        logit_scale: float,
        logit_bias: float | None,
    ) -> None:
        super().__init__()
        self.visual = visual
        self.text = text
        self.logit_scale = nn.Parameter(torch.full(scale_shape, logit_scale))
        self.logit_bias = None if logit_bias is None else nn.Parameter(torch.full(scale_shape, float(logit_bias)))

    def has(self, *names: str) -> bool:
        """True if all these towers were built; names are `image` and `text`."""
        built = {IMAGE: self.visual, TEXT: self.text}
        return all(built[name] is not None for name in names)

    def encode_image(self, images: Tensor) -> Tensor:
        """Encode normalised images `[B, 3, H, W]` as embeddings `[B, D]`, L2-normalised float32."""
        if self.visual is None:
            raise RuntimeError("the image tower was not loaded")
        return _normalised(self.visual(images))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Encode token ids `[B, L]` as embeddings `[B, D]`, L2-normalised float32."""
        if self.text is None:
            raise RuntimeError("the text tower was not loaded")
        if not causal.is_causal(self.text):
            return _normalised(self.text(tokens))
        return _normalised(causal.encode(self.text, tokens, causal.ends(self.text, tokens)))

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """As `encode_text`, for any number of token ids `[B, L]` on the CPU, for inference only.

        Texts with a common prefix share its computation where the tower allows it. Otherwise texts of similar length
        are encoded together, so that little of a batch is padding.
        """
        if self.text is not None and prefixes.can_share(self.text):
            return _normalised(prefixes.encode(self.text, tokens))
        order = self._text_lengths(tokens).argsort()
        batches = torch.split(tokens[order].to(self.logit_scale.device), _TEXTS_PER_BATCH)
        encoded = torch.cat([self.encode_text(batch) for batch in batches])
        return encoded[order.argsort().to(encoded.device)]

    def prompts_at_a_time(self) -> int:
        """The number of prompts to encode together: more prompts share more, fewer show progress sooner."""
        if self.text is None or not prefixes.can_share(self.text):
            return _LEAST_PROMPTS
        tables = sum(module.weight.numel() for module in self.text.modules() if isinstance(module, nn.Embedding))
        weights = sum(parameter.numel() for parameter in self.text.parameters()) - tables
        return min(_MOST_PROMPTS, max(_LEAST_PROMPTS, _PROMPTS_TIMES_WEIGHTS // weights))

    def _text_lengths(self, tokens: Tensor) -> Tensor:
        """The number `[B]` of token ids in each row of `[B, L]` that the text tower must compute."""
        if self.text is not None and causal.is_causal(self.text):
            return causal.ends(self.text, tokens) + 1
        return torch.full(tokens.shape[:1], tokens.shape[1])


class SkipInit(TorchFunctionMode):
    """Skips the random initialisation of new parameters, to save time where weights are loaded next."""

    _FILLS = frozenset(
        {
            torch.Tensor.normal_,
            torch.Tensor.uniform_,
            torch.Tensor.erfinv_,
            *(getattr(nn.init, name) for name in dir(nn.init) if name.endswith(("normal_", "uniform_"))),
            nn.init.orthogonal_,
        }
    )

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def build_towers(
    model_cfg: Mapping[str, Any], *, towers: Sequence[str], dtype: torch.dtype, random: bool = False
) -> Towers:
    """Build the named towers in float32. Without `random` the weights are undefined, and all must be loaded afterwards.

    `dtype` is the precision that `cast_towers` will convert to. Raises `BadFile` for a configuration that open_clip
    does not understand, `MissingExtra` if it needs transformers, and `ModelUnavailable` if it needs the hub.
    """
    config = dict(model_cfg)
    embed_dim, quick_gelu = config["embed_dim"], bool(config.get("quick_gelu", False))
    # All weights come from the checkpoint, so timm and transformers must not download pretrained ones.
    vision_cfg = {**config["vision_cfg"], "timm_model_pretrained": False}
    text_cfg = {**config["text_cfg"], "hf_model_pretrained": False}
    if "hf_model_name" in text_cfg:
        _need_transformers()
        with_transformers()
    # open_clip keeps layer norms in float32 in a half-precision model, and must know that when it builds them.
    cast = dtype if dtype != torch.float32 else None
    vision_tower, text_tower = open_clip.model._build_vision_tower, open_clip.model._build_text_tower
    try:
        with nullcontext() if random else SkipInit():
            return Towers(
                visual=vision_tower(embed_dim, vision_cfg, quick_gelu, cast) if IMAGE in towers else None,
                text=text_tower(embed_dim, text_cfg, quick_gelu, cast) if TEXT in towers else None,
                scale_shape=[1] if config.get("nonscalar_logit_scale") else [],
                logit_scale=config.get("init_logit_scale") or INIT_LOGIT_SCALE,
                logit_bias=config.get("init_logit_bias"),
            )
    except OSError as e:
        raise ModelUnavailable(
            f"open_clip needs a configuration from the hub for this model ({e}); connect once"
        ) from e
    except (TypeError, ValueError, AssertionError) as e:
        raise BadFile(f"open_clip cannot build this model_cfg ({e}); check the model's configuration") from e


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """All batch norms in the model, of any kind."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def cast_towers(towers: Towers, dtype: torch.dtype) -> None:
    """Convert the towers to `dtype` in place. Norms that compute in float32 stay in it, as do logit scale and bias."""
    if dtype == torch.float32:
        return
    scale, bias = towers.logit_scale.data, None if towers.logit_bias is None else towers.logit_bias.data
    norms = (open_clip.transformer.LayerNormFp32, nn.BatchNorm2d)
    kept = {name: module for name, module in towers.named_modules() if isinstance(module, norms)}
    states = {name: {k: v.clone() for k, v in module.state_dict().items()} for name, module in kept.items()}
    towers.to(dtype)
    for name, module in kept.items():
        module.to(torch.float32).load_state_dict(states[name])
    towers.logit_scale.data = scale
    if towers.logit_bias is not None and bias is not None:
        towers.logit_bias.data = bias


def _normalised(features: Tensor | tuple[Tensor, ...]) -> Tensor:
    # CoCa's towers return tokens beside the pooled features.
    pooled = features[0] if isinstance(features, tuple) else features
    return functional.normalize(pooled.to(torch.float32), dim=-1)


def _need_transformers() -> None:
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra(f"this model needs transformers; run {install('transformers', 'sentencepiece')}")
    from transformers import dynamic_module_utils

    # For a configuration with code of its own it would ask on the terminal whether to run it; so it refuses at once.
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
