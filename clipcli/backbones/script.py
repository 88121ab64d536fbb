"""Reads the tensors of a TorchScript archive, as OpenAI published CLIP in, without running any code in it.

The archive is a zip. Its `data.pkl` pickles the modules as objects of classes that the archive defines itself. Here
they are plain tables of attributes, and nothing but tensors and the tables around them can be made.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_script(path: Path) -> bool:
    """True for a TorchScript archive, false for what is none or cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    # Of a damaged list of members zipfile raises nearly anything.
    except Exception:
        return False


def read_script(path: Path) -> dict[str, Tensor]:
    """The tensors of all modules in the archive, on the CPU, by the names that they have in a state dict.

    Raises what `pickle` and `zipfile` raise on a damaged file, and `pickle.UnpicklingError` for one that holds anything
    but modules and tensors.
    """
    with zipfile.ZipFile(path) as archive:
        [name] = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        with archive.open(name) as file:
            root = _Modules(file, archive=archive, folder=name.removesuffix(".pkl")).load()
    return dict(_tensors(root, ""))


class _Module:
    """A module of the archive: pickle puts its attributes into `__dict__`."""


class _Modules(pickle.Unpickler):
    """Unpickles modules and tensors, and refuses all else."""

    def __init__(self, file: Any, *, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            # A class for each name, so that no state can reach a class that others share.
            return type(name, (_Module,), {})
        found = _KNOWN.get(f"{module}.{name}")
        if found is None:
            raise pickle.UnpicklingError(f"it holds {module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Tensor:
        """A storage as a flat tensor, from its record `("storage", type, key, device, count)`."""
        _, dtype, key, _, count = pid
        data = self._archive.read(f"{self._folder}/{key}")
        return torch.frombuffer(bytearray(data), dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return torch.as_strided(storage, size, stride, offset)


def _same(value: Any, *_: Any) -> Any:
    return value


_KNOWN: Mapping[str, Callable[..., Any] | torch.dtype] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _same,
    "torch.jit._pickle.restore_type_tag": _same,
    **{f"torch.jit._pickle.build_{kind}list": _same for kind in ("int", "double", "bool", "tensor")},
    **{f"torch.{name}": dtype for name, dtype in _DTYPES.items()},
}


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, _Module):
        for key, inner in vars(value).items():
            yield from _tensors(inner, f"{name}.{key}" if name else key)
