"""Self-attention as torch's, for training over few tokens on a processor: faster, and keeps less for the backward pass.

torch's fused attention takes long for the backward pass of few tokens, and in bf16 twice as long as its plain one. The
plain one keeps four copies in fp32 of what it is given.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Up to so many it was faster than both of torch's; from 257 on the fused one is as fast.
_FEW_TOKENS = 200


def attend_faster(model: nn.Module) -> None:
    """Change torch's attention modules in a model on a processor to those that learn faster, with the same weights."""
    for module in model.modules():
        if type(module) is nn.MultiheadAttention and _is_usual(module):
            module.__class__ = _SelfAttention


def _is_usual(module: nn.MultiheadAttention) -> bool:
    packed = module._qkv_same_embed_dim and module.in_proj_bias is not None and module.batch_first
    return packed and module.bias_k is None and not module.add_zero_attn and not module.dropout


class _SelfAttention(nn.MultiheadAttention):
    """torch's module with other code for learning over few tokens. What does not learn is torch's, which is faster."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As torch's, for tokens `[b, L, E]`."""
        mask = kwargs.get("attn_mask")
        usual = not args and kwargs == {"need_weights": False, "attn_mask": mask}
        usual = usual and (mask is None or (mask.dim() == 2 and mask.is_floating_point()))
        over_few = query is key is value and query.dim() == 3 and query.shape[1] <= _FEW_TOKENS
        learns = torch.is_grad_enabled() and (query.requires_grad or self.in_proj_weight.requires_grad)
        if not (usual and over_few and learns):
            return super().forward(query, key, value, *args, **kwargs)
        packed = functional.linear(query, self.in_proj_weight, self.in_proj_bias)
        attended = _Attention.apply(packed, mask, self.num_heads)
        return functional.linear(attended, self.out_proj.weight, self.out_proj.bias), None


class _Attention(torch.autograd.Function):
    """Queries, keys and values `[b, L, 3 E]` to what is attended to, `[b, L, E]`; computed in fp32."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, mask: Tensor | None, heads: int) -> Tensor:
        with torch.autocast(packed.device.type, enabled=False):
            query, key, value = _by_head(packed, heads, parts=3)
            added = query.new_zeros(()) if mask is None else mask.float()
            weights = torch.baddbmm(added, query, key.mT, alpha=query.shape[2] ** -0.5).softmax(dim=-1)
            attended = weights @ value
        ctx.save_for_backward(packed, weights)
        ctx.heads = heads
        return _in_a_row(attended[None], len(packed)).to(packed.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        packed, weights = ctx.saved_tensors
        query, key, value = _by_head(packed, ctx.heads, parts=3)
        [gradient] = _by_head(gradient, ctx.heads, parts=1)
        of_weights = gradient @ value.mT
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(query.shape[2] ** -0.5)
        parts = torch.empty((3, *query.shape), dtype=query.dtype)
        torch.bmm(of_scores, key, out=parts[0])
        torch.bmm(of_scores.mT, query, out=parts[1])
        torch.bmm(weights.mT, gradient, out=parts[2])
        return _in_a_row(parts, len(packed)).to(packed.dtype), None, None


def _by_head(row: Tensor, heads: int, *, parts: int) -> Tensor:
    """`[b, L, parts E]` as `[parts, b heads, L, E / heads]`, float32."""
    split = row.reshape(*row.shape[:2], parts, heads, -1).permute(2, 0, 3, 1, 4)
    return split.to(torch.float32, memory_format=torch.contiguous_format).flatten(1, 2)


def _in_a_row(parts: Tensor, batch: int) -> Tensor:
    """The reverse of `_by_head`."""
    return parts.view(len(parts), batch, -1, *parts.shape[2:]).permute(1, 3, 0, 2, 4).flatten(2)
