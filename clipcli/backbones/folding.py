"""Makes an image tower of convolutions faster for inference: their batch norms become part of them.

In inference a batch norm multiplies and adds constants. The convolution before it can do both at no cost, and on a
processor the norms of a small tower take as long as half of its convolutions. Embeddings change by rounding alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_M = TypeVar("_M")
_Named = tuple[str, _M]


def fold_batch_norms(tower: nn.Module) -> int:
    """Fold each batch norm of a float32 tower into the convolution before it, in place. Returns how many.

    A norm stays where its input is not the output of one convolution that nothing else uses. All stay in a tower
    without any, or whose computation depends on its input, so that it cannot be traced.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in tower.modules()):
        return 0
    tower.eval()
    try:
        graph = _Tracer().trace(tower)
    # Tracing runs the tower's code on stand-ins for tensors, which raises nearly anything.
    except Exception:
        return 0
    pairs = _pairs(graph, dict(tower.named_modules()))
    for (before, convolution), (name, norm) in pairs:
        tower.set_submodule(before, fuse_conv_bn_eval(convolution, norm))
        tower.set_submodule(name, _after(norm))
    return len(pairs)


class _Tracer(fx.Tracer):
    """Traces down to convolutions and norms. What holds neither is one step, whatever it does inside."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        kinds = (nn.Conv2d, nn.BatchNorm2d)
        return isinstance(m, kinds) or not any(isinstance(inner, kinds) for inner in m.modules())


def _pairs(graph: fx.Graph, modules: dict[str, nn.Module]) -> list[tuple[_Named[nn.Conv2d], _Named[nn.BatchNorm2d]]]:
    """The convolutions whose output goes to a batch norm and nowhere else, with that norm, each under its name."""
    names = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    used_once = {name for name, uses in Counter(names).items() if uses == 1}
    found = []
    for node in graph.nodes:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or len(before.users) > 1 or {node.op, before.op} != {"call_module"}:
            continue
        one, other = str(before.target), str(node.target)
        convolution, norm = modules[one], modules[other]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and {one, other} <= used_once:
            found.append(((one, convolution), (other, norm)))
    return found


def _after(norm: Any) -> nn.Module:
    """What a folded norm leaves to do: timm's norms have the activation in them."""
    return nn.Sequential(norm.drop, norm.act) if hasattr(norm, "act") else nn.Identity()
