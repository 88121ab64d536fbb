"""Reads the tensors of a weights file as people have them, without running any code in it.

A file may be safetensors, a TorchScript archive, or a pickle of tensors and of types that are known to be harmless.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import shlex
import types
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import safe_globals

from clipcli.backbones.script import is_script, read_script
from clipcli.errors import BadFile, UnsafeWeights

# Where training programs keep the weights among the rest of a checkpoint.
_HOLDERS = ("state_dict", "model_state_dict", "model")
# What torch.compile and data-parallel training put before names.
_WRAPPED = re.compile(r"(^(module\.)+|(?<![^.])_orig_mod\.)")
_CONVERT = (
    'python -c \'import sys, torch; c = torch.load(sys.argv[1], map_location="cpu", weights_only=False); '
    'torch.save(c.get("state_dict", c), sys.argv[2])\' {path} plain.pt'
)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file, on the CPU, by their names in the plain model.

    Raises `UnsafeWeights` or `BadFile`.
    """
    state = _READERS.get(path.suffix, _read_pickle)(path)
    if not state or not all(isinstance(key, str) for key in state):
        raise BadFile(f"{path} holds no state dict; save model.state_dict(), best as .safetensors")
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    plain = {unwrapped(key): value for key, value in tensors.items()}
    if len(plain) < len(tensors):
        raise BadFile(f"{path} holds some weights twice, as they are and wrapped (module. or _orig_mod.); save one set")
    return plain


def unwrapped(name: str) -> str:
    """The name of a weight in the plain model, without `module.` before it and `_orig_mod.` anywhere."""
    without = _WRAPPED.sub("", name)
    return without if without == name else unwrapped(without)


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as e:
        raise BadFile(f"{path} is not a safetensors file ({e}); get it anew") from None


def _read_pickle(path: Path) -> Mapping[str, Any] | None:
    """The state dict in a pickle or a TorchScript archive; `None` where there is none."""
    try:
        if is_script(path):
            return read_script(path)
        with warnings.catch_warnings(), safe_globals(_HARMLESS):
            # torch warns about files that it then refuses.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as e:
        raise BadFile(f"cannot read {path}: {e.strerror}; check its permissions") from None
    # Unpickling a file that is no pickle raises nearly anything.
    except Exception as e:
        raise _unreadable(path, e) from None
    if not isinstance(content, dict):
        return None
    return next((content[key] for key in _HOLDERS if isinstance(content.get(key), dict)), content)


_READERS: dict[str, Callable[[Path], Mapping[str, Any] | None]] = {".safetensors": _read_safetensors}


def _unreadable(path: Path, error: Exception) -> UnsafeWeights | BadFile:
    text = str(error)
    if not any(words in text.lower() for words in ("unsupported global", "unsupported class")):
        return BadFile(f"{path} is not a PyTorch checkpoint or is cut short; get it anew")
    named = re.search(r"GLOBAL ([\w.]+)", text)
    what = f"it holds {named[1]}" if named else "it wants to run code"
    command = _CONVERT.format(path=shlex.quote(str(path)))
    return UnsafeWeights(
        f"{path} is a pickle that runs code when it is loaded ({what}); clipcli refuses: get the weights as "
        f".safetensors, or if you trust the file write its plain weights by {command}"
    )


def _harmless() -> list[Any]:
    """What training programs keep beside weights and that can do nothing: settings, paths, and numbers of numpy.

    Functions and classes, or pairs of one with the name that a file may have it by.
    """
    scalar, reconstruct = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    numpy_types = {type(np.dtype(code)) for code in (*np.typecodes["AllInteger"], *np.typecodes["AllFloat"], "?", "U")}
    numpy_1 = [(scalar, "numpy.core.multiarray.scalar"), (reconstruct, "numpy.core.multiarray._reconstruct")]
    places = [pathlib.PosixPath, pathlib.PurePosixPath, (pathlib.PosixPath, "pathlib._local.PosixPath")]
    settings = [argparse.Namespace, types.SimpleNamespace]
    return [scalar, reconstruct, np.dtype, np.ndarray, *numpy_types, *numpy_1, *places, *settings]


_HARMLESS = _harmless()
