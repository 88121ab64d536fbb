"""Encodes prompts that begin alike with one computation for each shared prefix.

The tokens of all texts form a prefix tree. A node is a token at a position after certain other tokens. In a causal text
tower a node has one state whatever follows it, so the layers run on the nodes `[N, W]`: each node once, and no padding.
Less than half of the token positions of ImageNet's prompts are nodes.

Nodes are numbered depth first, and attention runs on blocks of consecutive nodes. A node attends to its path from the
root. For all nodes of a block these paths lie in the block itself and on the path of its first node, so the attention
of a block is small and dense, under a mask. Language model servers share prefixes in the same way (RadixAttention,
Zheng et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clipcli.backbones import causal
from clipcli.backbones.library import open_clip

# Nodes per block. Attention was fastest at this size, of 8 to 128, in fp32 and in bf16.
_BLOCK = 32
# Enough rows for fast matrix products, and few enough for the processor's cache.
_NODES_PER_BATCH = 2048


@dataclass(frozen=True, slots=True)
class Tree:
    """The prefix tree of `R` texts, in `B` blocks of `S` nodes. The last block is padded with its last node.

    `tokens` and `positions` `[B, S]` belong to the nodes. `keys` `[B, K]` are the nodes that a block attends to, and
    `mask` `[B, 1, S, K]` is 0 where such a key lies on the node's path and minus infinity elsewhere. `ends` `[R]` are
    the nodes of the end tokens.
    """

    tokens: Tensor
    positions: Tensor
    keys: Tensor
    mask: Tensor
    ends: Tensor


def can_share(tower: Any) -> bool:
    """True for a causal tower of plain residual attention blocks on the CPU: its prefixes can be shared."""
    if not causal.is_causal(tower) or tower.positional_embedding.device.type != "cpu":
        return False
    return all(
        type(block) is open_clip.transformer.ResidualAttentionBlock
        and type(block.attn) is nn.MultiheadAttention
        and block.attn.bias_k is None
        and not block.attn.add_zero_attn
        for block in tower.transformer.resblocks
    )


def encode(tower: Any, tokens: Tensor) -> Tensor:
    """Compute `tower(tokens)` `[B, D]` for any number of token ids `[B, L]`, for inference only."""
    lengths = causal.ends(tower, tokens)[:, None] + 1
    columns = torch.arange(int(lengths.max()))
    # No token has the id -1, so padding is the same for all texts.
    texts = tokens[:, : len(columns)].where(columns < lengths, -1)
    distinct, which = torch.unique(texts, dim=0, return_inverse=True)
    nodes = _is_new(distinct).sum(dim=1).cumsum(dim=0)
    _, counts = torch.unique_consecutive(nodes // _NODES_PER_BATCH, return_counts=True)
    return torch.cat([_encode(tower, batch) for batch in distinct.split(counts.tolist())])[which]


def tree_of(texts: Tensor, *, dtype: torch.dtype) -> Tree:
    """Make the tree of distinct texts: token ids `[R, L]`, with -1 after the end token. Sorted texts share the most."""
    is_new = _is_new(texts)
    row, position = is_new.nonzero(as_tuple=True)
    numbers = (is_new.flatten().cumsum(dim=0) - 1).view_as(texts)
    # A text's node at a position is the newest node at that position.
    paths = numbers.where(is_new, -1).cummax(dim=0).values
    size = min(_BLOCK, len(row))
    nodes = torch.arange(-(-len(row) // size) * size).view(-1, size)
    real = nodes.clamp(max=len(row) - 1)
    keys, reached = _reach(nodes, position[real], paths[row[real]])
    return Tree(
        tokens=texts[row, position][real],
        positions=position[real],
        keys=keys,
        mask=torch.zeros(reached.shape, dtype=dtype).masked_fill(~reached, -torch.inf)[:, None],
        ends=paths.gather(1, (texts >= 0).sum(dim=1, keepdim=True) - 1)[:, 0],
    )


def _is_new(texts: Tensor) -> Tensor:
    """Mark the positions `[R, L]` of each text that it does not share with the text before it; padding is False."""
    is_token = texts >= 0
    shared = (texts[1:] == texts[:-1]).cumprod(dim=1).to(torch.bool)
    return torch.cat([is_token[:1], is_token[1:] & ~shared])


def _reach(nodes: Tensor, positions: Tensor, paths: Tensor) -> tuple[Tensor, Tensor]:
    """The nodes `[B, K]` that blocks of `nodes` `[B, S]` attend to, and a mask `[B, S, K]` of those of each node.

    `paths` `[B, S, L]` are the paths of the nodes' texts, filled up with -1.
    """
    columns = torch.arange(paths.shape[2])
    paths = paths.where(columns <= positions[..., None], -1)
    columns = columns[: int(positions[:, 0].max())]
    above = paths[:, 0, : len(columns)].where(columns < positions[:, :1], -1)
    keys = torch.cat([above, nodes], dim=1)
    places = torch.cat([columns.expand_as(above), positions], dim=1)
    reached = paths.gather(2, places[:, None].expand(-1, nodes.shape[1], -1)) == keys[:, None]
    return keys.clamp(min=0), reached & (keys >= 0)[:, None]


def _encode(tower: Any, texts: Tensor) -> Tensor:
    """Embeddings `[R, D]` of distinct texts: token ids `[R, L]`, with -1 after the end token."""
    dtype = tower.transformer.get_cast_dtype()
    tree = tree_of(texts, dtype=dtype)
    x = tower.token_embedding(tree.tokens).to(dtype) + tower.positional_embedding[tree.positions].to(dtype)
    x = x.flatten(0, 1)
    blocks = tower.transformer.resblocks
    for block in blocks:
        attended = _attend(block.attn, block.ln_1(x), tree)
        if block is blocks[-1]:
            # After the last layer only the end tokens count.
            x, attended = x[tree.ends], attended[tree.ends]
        x = x + block.ls_1(block.attn.out_proj(attended))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    return causal.projected(tower, x)


def _attend(attention: Any, x: Tensor, tree: Tree) -> Tensor:
    """Attention `[N, W]` of the nodes' states `[N, W]` to their paths, before the output projection."""
    qkv = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    queries = qkv.view(*tree.tokens.shape, 3, attention.num_heads, -1)[:, :, 0]
    reached = functional.embedding(tree.keys, qkv).view(*tree.keys.shape, 3, attention.num_heads, -1)
    keys, values = reached[:, :, 1], reached[:, :, 2]
    attended = functional.scaled_dot_product_attention(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), attn_mask=tree.mask
    )
    return attended.transpose(1, 2).reshape(x.shape)
