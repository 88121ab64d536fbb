"""open_clip, imported without torch's compiler: nothing needs it before a model is compiled, and it takes 1.5 s.

torchvision imports it to ask one question when an operator runs, timm to mark one function as not to be compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

_COMPILER = "torch._dynamo"
_QUESTIONS = "torch._dynamo.utils"


class _Later(ModuleType):
    """Stands for the compiler's module of questions until one is asked."""

    def is_compile_supported(self, device: str) -> bool:
        """Whether code for this device can be compiled, as the module itself says."""
        supported: bool = self._itself().is_compile_supported(device)
        return supported

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._itself(), name)

    @staticmethod
    def _itself() -> Any:
        _forget_later()
        return import_module(_QUESTIONS)


def _forget_later() -> None:
    if isinstance(sys.modules.get(_QUESTIONS), _Later):
        del sys.modules[_QUESTIONS]


def _mark_only(function: Callable[..., Any] | None = None, **_: Any) -> Any:
    """What `torch.compiler.disable` says of a function, without the compiler that heeds it."""
    if function is None:
        return _mark_only
    function._torchdynamo_disable = True  # type: ignore[attr-defined]
    return function


@contextmanager
def _compiler_left_out() -> Iterator[None]:
    if _COMPILER in sys.modules:
        yield
        return
    disable = torch.compiler.disable
    sys.modules[_QUESTIONS] = _Later(_QUESTIONS)
    torch.compiler.disable = _mark_only  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compiler.disable = disable
        _forget_later()


with _compiler_left_out():
    import open_clip

__all__ = ["open_clip"]
