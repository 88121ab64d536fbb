"""Texts that begin alike: what a causal text tower makes of a shared beginning is computed once.

The tokens of all texts make a prefix tree: a node is a token at its place after those before it. A tower that reads
from left to right gives a node one state, whatever follows, so that the layers run on nodes `[N, W]`: each once, and
no padding among them. Of the positions of ImageNet's prompts less than half are nodes.

Nodes are numbered depth first, and attention runs on blocks of consecutive nodes. What a block's nodes may attend to,
their paths from the root, lies in the block itself and on the path of its first node: a small dense attention under a
mask. Language model servers share prefixes in the same way (RadixAttention, Zheng et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clipcli.backbones import causal
from clipcli.backbones.library import open_clip

# Of 8 to 128, the size at which attention was fastest, in fp32 and in bf16.
_BLOCK = 32
# Enough rows for the full speed of matrix products, and few enough for the processor's cache.
_NODES_PER_BATCH = 2048


@dataclass(frozen=True, slots=True)
class Tree:
    """The prefix tree of `R` texts, in `B` blocks of `S` nodes, the last filled up with its last node.

    `tokens` and `positions` `[B, S]` are the nodes' own; a block's nodes attend to the nodes `keys` `[B, K]`, of which
    `mask` `[B, 1, S, K]` leaves each one those on its path (0, else minus infinity); `ends` `[R]` are the texts' ends.
    """

    tokens: Tensor
    positions: Tensor
    keys: Tensor
    mask: Tensor
    ends: Tensor


def can_share(tower: Any) -> bool:
    """Whether this is a causal tower of plain residual attention blocks, on the processor."""
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
    """What `tower(tokens)` gives, `[B, D]`, of as many token ids `[B, L]` as there are, without gradients."""
    lengths = causal.ends(tower, tokens)[:, None] + 1
    columns = torch.arange(int(lengths.max()))
    # No token has the id -1: what follows a text's end is the same for all.
    texts = tokens[:, : len(columns)].where(columns < lengths, -1)
    distinct, which = torch.unique(texts, dim=0, return_inverse=True)
    nodes = _is_new(distinct).sum(dim=1).cumsum(dim=0)
    _, counts = torch.unique_consecutive(nodes // _NODES_PER_BATCH, return_counts=True)
    return torch.cat([_encode(tower, batch) for batch in distinct.split(counts.tolist())])[which]


def tree_of(texts: Tensor, *, dtype: torch.dtype) -> Tree:
    """The tree of distinct texts, token ids `[R, L]` with -1 after each one's end; of sorted ones it is smallest."""
    is_new = _is_new(texts)
    row, position = is_new.nonzero(as_tuple=True)
    numbers = (is_new.flatten().cumsum(dim=0) - 1).view_as(texts)
    # The node of a text's position is the last one made there.
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
    """Which positions `[R, L]` of each text are not shared with the text before it, padding left out."""
    there = texts >= 0
    shared = (texts[1:] == texts[:-1]).cumprod(dim=1).to(torch.bool)
    return torch.cat([there[:1], there[1:] & ~shared])


def _reach(nodes: Tensor, positions: Tensor, paths: Tensor) -> tuple[Tensor, Tensor]:
    """The nodes `[B, K]` that blocks of `nodes` `[B, S]` attend to, and which of them `[B, S, K]` each node does.

    `paths` `[B, S, L]` are those of the nodes' texts. A -1 stands where a path, or what is above a block, has ended.
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
    """Embeddings `[R, D]` of distinct texts, token ids `[R, L]` with -1 after each one's end."""
    dtype = tower.transformer.get_cast_dtype()
    tree = tree_of(texts, dtype=dtype)
    x = tower.token_embedding(tree.tokens).to(dtype) + tower.positional_embedding[tree.positions].to(dtype)
    x = x.flatten(0, 1)
    blocks = tower.transformer.resblocks
    for block in blocks:
        attended = _attend(block.attn, block.ln_1(x), tree)
        if block is blocks[-1]:
            # No layer is left to look at the other nodes.
            x, attended = x[tree.ends], attended[tree.ends]
        x = x + block.ls_1(block.attn.out_proj(attended))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    return causal.projected(tower, x)


def _attend(attention: Any, x: Tensor, tree: Tree) -> Tensor:
    """What the nodes `[N, W]` take from their paths, `[N, W]`, before the projection of the attention's output."""
    qkv = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    queries = qkv.view(*tree.tokens.shape, 3, attention.num_heads, -1)[:, :, 0]
    reached = functional.embedding(tree.keys, qkv).view(*tree.keys.shape, 3, attention.num_heads, -1)
    keys, values = reached[:, :, 1], reached[:, :, 2]
    attended = functional.scaled_dot_product_attention(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), attn_mask=tree.mask
    )
    return attended.transpose(1, 2).reshape(x.shape)
