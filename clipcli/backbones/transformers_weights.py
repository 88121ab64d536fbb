"""Renames the weights of transformers' `CLIPModel` to those of open_clip's `CLIP`, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Of both towers: a layer of transformers, and of open_clip.
_IN_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_LAYERS = {"text_model": "transformer.resblocks", "vision_model": "visual.transformer.resblocks"}
_OTHERS = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    # Spelt so in transformers.
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}
_BUFFERS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
_LAYER = re.compile(r"(text_model|vision_model)\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_BACK = {theirs: name for name, theirs in (_OTHERS | _TRANSPOSED).items()}
_TOWERS = {theirs: name for name, theirs in _LAYERS.items()}
_IN_LAYER_BACK = {theirs: name for name, theirs in _IN_LAYER.items()}
_RESBLOCK = re.compile(r"((?:visual\.)?transformer\.resblocks)\.(\d+)\.(.+)")
_IN_PROJECTION = re.compile(r"attn\.in_proj_(weight|bias)")
_QUERY = re.compile(r"(.+\.self_attn\.)q_proj\.(weight|bias)")


def is_transformers(state: Mapping[str, Tensor]) -> bool:
    """True for the weights of transformers' `CLIPModel`."""
    return "text_model.embeddings.token_embedding.weight" in state and "visual_projection.weight" in state


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under open_clip's names; those that it does not have keep theirs."""
    new: dict[str, Tensor] = {}
    for name, weight in _with_joint_projections(state).items():
        layer = _LAYER.fullmatch(name)
        if name in _TRANSPOSED:
            new[_TRANSPOSED[name]] = weight.T
        elif layer:
            tower, number, module, kind = layer.groups()
            new[f"{_LAYERS[tower]}.{number}.{_in_layer(module, kind)}"] = weight
        elif name not in _BUFFERS:
            new[_OTHERS.get(name, name)] = weight
    return new


def as_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The other way round: open_clip's weights under the names of transformers' `CLIPModel`, each in its own memory.

    Raises `KeyError` for one that a `CLIPModel` does not have.
    """
    named: dict[str, Tensor] = {}
    for name, weight in state.items():
        layer = _RESBLOCK.fullmatch(name)
        if layer is None:
            other = _BACK[name]
            named[other] = weight.T if other in _TRANSPOSED else weight
            continue
        tower, number, rest = layer.groups()
        before = f"{_TOWERS[tower]}.encoder.layers.{number}"
        joint = _IN_PROJECTION.fullmatch(rest)
        if joint:
            parts = zip("qkv", weight.chunk(3), strict=True)
            named |= {f"{before}.self_attn.{part}_proj.{joint[1]}": one for part, one in parts}
        else:
            module, _, kind = rest.rpartition(".")
            named[f"{before}.{_IN_LAYER_BACK[module]}.{kind}"] = weight
    return {name: weight.clone(memory_format=torch.contiguous_format) for name, weight in named.items()}


def _with_joint_projections(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with the projections to queries, keys and values of each attention in one, named `in_proj`."""
    joint = dict(state)
    for name in state:
        query = _QUERY.fullmatch(name)
        parts = [f"{query[1]}{part}_proj.{query[2]}" for part in "qkv"] if query else []
        if parts and all(part in joint for part in parts):
            joint[name.replace(".q_proj.", ".in_proj.")] = torch.cat([joint.pop(part) for part in parts])
    return joint


def _in_layer(module: str, kind: str) -> str:
    # torch has the joint projection as plain weights of the attention.
    return f"attn.in_proj_{kind}" if module == "self_attn.in_proj" else f"{_IN_LAYER.get(module, module)}.{kind}"
