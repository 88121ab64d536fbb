"""Causal text towers, encoded without the padding after the end token.

In a causal tower padding after the end token cannot reach the embedding, so leaving it out is exact. It saves most of
the work: a prompt has some ten tokens, the context has seventy-seven.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clipcli.backbones.library import open_clip


def is_causal(tower: Any) -> bool:
    """True for a causal text tower that pools at the end token: its padding can be left out."""
    if not isinstance(tower, open_clip.transformer.TextTransformer) or tower.output_tokens:
        return False
    return tower.cls_emb is None and tower.attn_mask is not None and tower.pool_type in ("argmax", "eos")


def ends(tower: Any, tokens: Tensor) -> Tensor:
    """The position `[B]` of the end token in each row of token ids `[B, L]`, found as the tower does for pooling."""
    if tower.pool_type == "argmax":
        return tokens.argmax(dim=-1)
    is_end: Tensor = tokens == tower.eos_id
    return is_end.to(torch.int).argmax(dim=-1)


def end_token(tower: Any) -> int | None:
    """The id of the token at which a causal tower pools; `None` where it is the largest of a row, or is no matter."""
    return tower.eos_id if is_causal(tower) and tower.pool_type == "eos" else None


def encode(tower: Any, tokens: Tensor, positions: Tensor) -> Tensor:
    """Compute `tower(tokens)` `[B, D]` only up to the longest text; `positions` `[B]` are those of the end tokens."""
    return encode_trimmed(tower, tokens[:, : int(positions.max()) + 1], positions)


def encode_trimmed(tower: Any, tokens: Tensor, positions: Tensor) -> Tensor:
    """As `encode`, of token ids `[B, L]` without what is behind the longest text. It can be traced for any B and L."""
    length = tokens.shape[1]
    dtype = tower.transformer.get_cast_dtype()
    x: Tensor = tower.token_embedding(tokens).to(dtype) + tower.positional_embedding[:length].to(dtype)
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    return projected(tower, x[torch.arange(x.shape[0], device=x.device), positions])


def projected(tower: Any, x: Tensor) -> Tensor:
    """Project the last layer's states `[B, W]` at the end tokens to embeddings `[B, D]`, not normalised."""
    x = tower.ln_final(x)
    projection = tower.text_projection
    if projection is None:
        return x
    embeddings: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
    return embeddings
