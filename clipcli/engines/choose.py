"""Which engine encodes images, and whether it gives what torch gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from clipcli.backbones.backbone import Backbone
from clipcli.engines import openvino, store
from clipcli.engines.store import Verdict
from clipcli.errors import CacheUnusable, MissingExtra, UsageError, unknown
from clipcli.events import Event, Noted, Warned
from clipcli.runtime import Runtime
from clipcli.runtime_kinds import ENGINES

# A conversion takes as long as the gain on some hundreds of images.
PAYS_FROM = 1000
LEAST_COSINE = 0.999
_PROBES = 8


def check_engine(engine: str, *, runtime: Runtime) -> None:
    """Raises `UnknownName`, `MissingExtra`, or `UsageError` for what the engine cannot do."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if engine != "openvino":
        return
    if openvino.version() is None:
        raise MissingExtra("--engine openvino needs OpenVINO; run pip install 'clipcli[openvino]'")
    if runtime.device != "cpu":
        raise UsageError(f"OpenVINO runs on the processor, not on {runtime.device}; give --device cpu")
    if runtime.precision not in openvino.PRECISIONS:
        raise UsageError(f"OpenVINO runs in {' or '.join(openvino.PRECISIONS)}, not in {runtime.precision}")


def with_engine(backbone: Backbone, *, engine: str, images: int) -> Generator[Event, None, Backbone]:
    """The backbone with the engine asked for; `auto` takes OpenVINO where it can and where so many `images` pay for it.

    A converted tower is held against torch once, when it is made. Where it gives something else, or cannot be had,
    there is a warning, and torch stays. Expects an engine that `check_engine` let pass.
    """
    if engine == "torch" or not _can_run(backbone.runtime):
        return backbone
    key = _key(backbone)
    verdict = store.verdict_on(key)
    if engine == "auto" and (images < PAYS_FROM if verdict is None else verdict.problem is not None):
        return backbone
    try:
        if verdict is None:
            yield Noted(f"Converting {backbone.name} for OpenVINO, once …")
            verdict = store.keep(key, lambda folder: _convert(backbone, folder))
        encode = _trusted(key, verdict, backbone)
    except (CacheUnusable, _Refused) as e:
        yield Warned(f"OpenVINO cannot be used for {backbone.name}: {e}; torch goes on")
        return backbone
    yield Noted(f"OpenVINO {openvino.version()} encodes the images; least cosine to torch {verdict.cosine:.5f}")
    return replace(backbone, engine=encode)


class _Refused(Exception):
    """Why a converted tower is not used."""


def _trusted(key: str, verdict: Verdict, backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """The encoder of a tower whose verdict is good. Raises `_Refused`."""
    if verdict.problem is not None:
        raise _Refused(verdict.problem)
    try:
        return openvino.load(store.engines_path() / key, precision=backbone.runtime.precision)
    # A broken file makes OpenVINO raise nearly anything; the next run converts anew.
    except Exception as e:
        store.forget(key)
        raise _Refused(_one_line(e)) from e


def _can_run(runtime: Runtime) -> bool:
    return runtime.device == "cpu" and runtime.precision in openvino.PRECISIONS and openvino.version() is not None


def _key(backbone: Backbone) -> str:
    """A name for all that a converted tower comes from."""
    height, width = backbone.preprocessing.size
    made_of = hashlib.sha256(f"{backbone.fingerprint} {backbone.preprocessing!r}".encode()).hexdigest()[:32]
    return f"{made_of}-{height}x{width}-{backbone.runtime.precision}-openvino-{openvino.version()}"


def _convert(backbone: Backbone, folder: Path) -> Verdict:
    """Convert, and hold what comes out against torch. Whatever goes wrong is the verdict."""
    try:
        openvino.convert(backbone, folder)
        encode = openvino.load(folder, precision=backbone.runtime.precision)
        cosine = least_cosine(encode, backbone)
    # Converters raise nearly anything on what they do not know.
    except Exception as e:
        return Verdict(cosine=None, problem=_one_line(e))
    if cosine >= LEAST_COSINE:
        return Verdict(cosine=cosine, problem=None)
    for path in folder.iterdir():
        path.unlink()
    return Verdict(cosine=cosine, problem=f"its embeddings are not torch's: least cosine {cosine:.4f}")


def least_cosine(encode: Callable[[Tensor], Tensor], backbone: Backbone) -> float:
    """How near `encode` is to the backbone, on patches of colour from a seed; 0 where it gives no numbers."""
    colours = torch.rand(_PROBES, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    images = functional.interpolate(colours, size=backbone.preprocessing.size, mode="bicubic").clamp(0, 1)
    pixels = images.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    cosines = (encode(pixels) * backbone.encode_images(pixels).cpu()).sum(dim=1)
    return float(cosines.nan_to_num(0).min())


def _one_line(error: Exception) -> str:
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
