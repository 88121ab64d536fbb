"""Text towers that read from left to right and pool at a text's end: what follows the end is left out.

Attention is causal there, so that padding after the end token cannot reach the embedding. Leaving it out is exact, and
most of the work: a prompt has some ten tokens, and the context seventy-seven.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clipcli.backbones.library import open_clip


def is_causal(tower: Any) -> bool:
    """Whether padding can be left out for this tower."""
    if not isinstance(tower, open_clip.transformer.TextTransformer) or tower.output_tokens:
        return False
    return tower.cls_emb is None and tower.attn_mask is not None and tower.pool_type in ("argmax", "eos")


def ends(tower: Any, tokens: Tensor) -> Tensor:
    """Position `[B]` of each text's end token, in token ids `[B, L]`, as the tower pools."""
    if tower.pool_type == "argmax":
        return tokens.argmax(dim=-1)
    is_end: Tensor = tokens == tower.eos_id
    return is_end.to(torch.int).argmax(dim=-1)


def encode(tower: Any, tokens: Tensor, positions: Tensor) -> Tensor:
    """What `tower(tokens)` gives, `[B, D]`, computed no further than the last of the end tokens' `positions`."""
    length = int(positions.max()) + 1
    dtype = tower.transformer.get_cast_dtype()
    x: Tensor = tower.token_embedding(tokens[:, :length]).to(dtype) + tower.positional_embedding[:length].to(dtype)
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    return projected(tower, x[torch.arange(len(x), device=x.device), positions])


def projected(tower: Any, x: Tensor) -> Tensor:
    """Embeddings `[B, D]` of the last layer's states `[B, W]` at the texts' ends."""
    x = tower.ln_final(x)
    projection = tower.text_projection
    if projection is None:
        return x
    embeddings: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return embeddings
