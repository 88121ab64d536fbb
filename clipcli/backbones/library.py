"""The import of open_clip, made 2.5 s faster by leaving torch's compiler and transformers out.

Every module that uses open_clip imports it from here. This is the only place that patches torch and `sys.modules`, and
it does so only while open_clip is imported. open_clip imports torchvision and timm, and both import torch's compiler
(`torch._dynamo`), which takes 1.5 s. torchvision needs it for one question when an operator runs
(`is_compile_supported`), timm for marking one function as not to be compiled (`torch.compiler.disable`). Stand-ins for
the two postpone the compiler until it is really needed, as by `--engine compiled`.

open_clip imports transformers as well, where it is installed, for text towers of its kind alone. It does without, as if
it were not installed, until `with_transformers` is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, reload
from types import ModuleType
from typing import Any

import torch

_COMPILER = "torch._dynamo"
_QUESTIONS = "torch._dynamo.utils"
_TRANSFORMERS = "transformers"


class _Later(ModuleType):
    """Stands in for `torch._dynamo.utils`, and imports the real module when one of its names is first used."""

    def is_compile_supported(self, device: str) -> bool:
        """Ask the real module if code for this device can be compiled."""
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
    """Mark a function as not to be compiled, as `torch.compiler.disable` does, without importing the compiler."""
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


@contextmanager
def _transformers_left_out() -> Iterator[None]:
    if _TRANSFORMERS in sys.modules:
        yield
        return
    # An import of it fails as if it were not there.
    sys.modules[_TRANSFORMERS] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_TRANSFORMERS]


def with_transformers() -> None:
    """Let open_clip build text towers of transformers, which must be installed."""
    adapter = import_module("open_clip.hf_model")
    if adapter.transformers is None:
        open_clip.model.HFTextEncoder = reload(adapter).HFTextEncoder


with _compiler_left_out(), _transformers_left_out():
    import open_clip

__all__ = ["open_clip", "with_transformers"]
