"""Chooses the engine that encodes images: the one named, or the one that pays for a long run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.runtime import Runtime
from clipcli.encoding.engines import compiled, openvino, store
from clipcli.encoding.engines.agreement import EngineRefused, check, least_cosine
from clipcli.encoding.engines.kinds import ENGINES
from clipcli.encoding.engines.store import Verdict
from clipcli.errors import CacheUnusable, MissingExtra, UsageError, install, one_line, unknown
from clipcli.events import Event, Noted, Warned

# From this many images on, `auto` converts for OpenVINO. Converting ViT-B/32 takes as long as OpenVINO saves on some
# 7,000 images, and later runs save as well.
PAYS_FROM = 5000
# From this many images on, `auto` compiles on a card. Compiling takes about a minute, in which a card encodes tens of
# thousands of images. An estimate, not yet measured.
COMPILING_PAYS_FROM = 50_000
_LEAST_TIMES_FASTER = 1.1


def check_engine(engine: str, *, runtime: Runtime) -> None:
    """Check that the engine can run here.

    Raises `UnknownName`, `MissingExtra` if it is not installed, and `UsageError` for a device or precision that it does
    not support.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if engine != "openvino":
        return
    if openvino.version() is None:
        raise MissingExtra(f"--engine openvino needs OpenVINO; run {install('openvino')}")
    if runtime.device != "cpu":
        raise UsageError(f"OpenVINO runs on the processor, not on {runtime.device}; give --device cpu")
    if runtime.precision not in openvino.PRECISIONS:
        raise UsageError(f"OpenVINO runs in {' or '.join(openvino.PRECISIONS)}, not in {runtime.precision}")


def with_engine(backbone: Backbone, *, engine: str, images: int) -> Generator[Event, None, Backbone]:
    """The backbone with the named engine; `auto` chooses another engine than torch if it pays for this many `images`.

    Another engine is first compared with torch. If it gives other embeddings or fails, a `Warned` says so and torch
    stays. The engine must have passed `check_engine`.
    """
    runtime = backbone.runtime
    long_on_a_card = runtime.kind == "cuda" and images >= COMPILING_PAYS_FROM
    if engine == "compiled" or (engine == "auto" and long_on_a_card):
        return (yield from _with_compiled(backbone, must_pay=engine == "auto"))
    if engine != "torch" and _runs_openvino(runtime):
        return (yield from _with_openvino(backbone, images=images if engine == "auto" else None))
    return backbone


def _with_compiled(backbone: Backbone, *, must_pay: bool) -> Generator[Event, None, Backbone]:
    """The backbone compiled and compared with torch, and with `must_pay` only if it is faster."""
    size = backbone.runtime.batch_size
    yield Noted(f"Compiling {backbone.name} for {size} images at once …")
    times = None
    try:
        encode = compiled.encoder(backbone)
        compiled.warm_up(encode, backbone)
        cosine = least_cosine(encode, backbone, images=size)
        check(cosine)
        if must_pay:
            times = compiled.speedup(encode, backbone)
    # Compilers raise nearly anything on code that they do not support.
    except Exception as e:
        compiled.forget()
        yield Warned(f"torch.compile cannot be used for {backbone.name}: {one_line(e)}; torch goes on as it is")
        return backbone
    if times is not None and times < _LEAST_TIMES_FASTER:
        compiled.forget()
        yield Noted(f"Compiled, {backbone.name} is {times:.2f} times as fast: too little; torch goes on as it is")
        return backbone
    gain = "" if times is None else f", {times:.2f} times as fast"
    yield Noted(f"torch.compile's code encodes the images{gain}; least cosine to torch {cosine:.5f}")
    return replace(backbone, engine=encode)


def _with_openvino(backbone: Backbone, *, images: int | None) -> Generator[Event, None, Backbone]:
    """The backbone in OpenVINO, converted and compared with torch once; given `images`, only if so many pay for it."""
    key = _key(backbone)
    verdict = store.verdict_on(key)
    if images is not None and (images < PAYS_FROM if verdict is None else verdict.problem is not None):
        return backbone
    try:
        if verdict is None:
            yield Noted(f"Converting {backbone.name} for OpenVINO, once …")
            verdict = store.keep(key, lambda folder: _convert(backbone, folder))
        encode = _trusted(key, verdict, backbone)
    except (CacheUnusable, EngineRefused) as e:
        yield Warned(f"OpenVINO cannot be used for {backbone.name}: {e}; torch goes on")
        return backbone
    yield Noted(f"OpenVINO {openvino.version()} encodes the images; least cosine to torch {verdict.cosine:.5f}")
    return replace(backbone, engine=encode)


def _trusted(key: str, verdict: Verdict, backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """Load the encoder of a converted tower. Raises `EngineRefused` if its verdict is bad or its file is broken."""
    if verdict.problem is not None:
        raise EngineRefused(verdict.problem)
    try:
        return openvino.load(store.engines_path() / key, precision=backbone.runtime.precision)
    # OpenVINO raises nearly anything on a broken file. The next run converts anew.
    except Exception as e:
        store.forget(key)
        raise EngineRefused(one_line(e)) from e


def _runs_openvino(runtime: Runtime) -> bool:
    return runtime.device == "cpu" and runtime.precision in openvino.PRECISIONS and openvino.version() is not None


def _key(backbone: Backbone) -> str:
    """The key of a converted tower: a name for everything that it depends on."""
    height, width = backbone.preprocessing.size
    made_of = hashlib.sha256(f"{backbone.fingerprint} {backbone.preprocessing!r}".encode()).hexdigest()[:32]
    return f"{made_of}-{height}x{width}-{backbone.runtime.precision}-openvino-{openvino.version()}"


def _convert(backbone: Backbone, folder: Path) -> Verdict:
    """Convert the tower and compare it with torch. Any failure is part of the verdict."""
    cosine = None
    try:
        openvino.convert(backbone, folder)
        encode = openvino.load(folder, precision=backbone.runtime.precision)
        cosine = least_cosine(encode, backbone)
        check(cosine)
    # Converters raise nearly anything on models that they do not support.
    except Exception as e:
        for path in folder.iterdir():
            path.unlink()
        return Verdict(cosine=cosine, problem=one_line(e))
    return Verdict(cosine=cosine, problem=None)
