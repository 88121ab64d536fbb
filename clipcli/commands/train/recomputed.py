"""Keeps less for the backward pass: results of GELU and of products, that a linear layer takes, are computed anew.

What they are computed from is kept anyway, and they are a quarter of the activations of a vision transformer. The
gradient is the same, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

_GELU, _PRODUCT = "GeluBackward0", "MulBackward0"
_SAME_NUMBERS = ("ViewBackward0", "UnsafeViewBackward0")


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How to compute a tensor of this shape: again as the node of autograd's graph did that made it."""

    node: Any
    shape: torch.Size

    def compute(self) -> Tensor:
        node = self.node
        if node.name() == _GELU:
            made = functional.gelu(node._saved_self, approximate=node._saved_approximate)
        else:
            made = node._saved_self * node._saved_other
        return made.detach().view(self.shape)


def keeping_less() -> saved_tensors_hooks:
    """While it is entered, the forward pass keeps less for the backward pass, which may come later."""
    return saved_tensors_hooks(_kept, _as_it_was)


def _kept(tensor: Tensor) -> Tensor | _Recipe:
    """What to keep of a tensor that the backward pass needs."""
    node: Any = tensor.grad_fn
    while node is not None and node.name() in _SAME_NUMBERS:
        node = node.next_functions[0][0]
    return _Recipe(node, tensor.shape) if node is not None and _keeps_what_it_needs(node) else tensor


def _keeps_what_it_needs(node: Any) -> bool:
    if node.name() == _PRODUCT:
        return node._saved_self is not None and node._saved_other is not None
    return bool(node.name() == _GELU)


def _as_it_was(kept: Tensor | _Recipe) -> Tensor:
    return kept.compute() if isinstance(kept, _Recipe) else kept
