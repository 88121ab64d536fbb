"""Which engine encodes images: what was asked for, or what pays, where it gives what torch gives."""

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
from clipcli.errors import CacheUnusable, MissingExtra, UsageError, one_line, unknown
from clipcli.events import Event, Noted, Warned

# A conversion of ViT-B/32 takes as long as what it gains on 7,000 images or so, and later runs gain from it as well.
PAYS_FROM = 5000
# Compiling takes a minute or so, in which a card encodes tens of thousands of images. An estimate: not yet measured.
COMPILING_PAYS_FROM = 50_000
_LEAST_TIMES_FASTER = 1.1


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
    """The backbone with the engine asked for; `auto` takes another than torch where so many `images` pay for it.

    Another engine is held against torch. Where it gives something else, or cannot be had, there is a warning, and torch
    stays. Expects an engine that `check_engine` let pass.
    """
    runtime = backbone.runtime
    long_on_a_card = runtime.device == "cuda" and images >= COMPILING_PAYS_FROM
    if engine == "compiled" or (engine == "auto" and long_on_a_card):
        return (yield from _with_compiled(backbone, must_pay=engine == "auto"))
    if engine != "torch" and _runs_openvino(runtime):
        return (yield from _with_openvino(backbone, images=images if engine == "auto" else None))
    return backbone


def _with_compiled(backbone: Backbone, *, must_pay: bool) -> Generator[Event, None, Backbone]:
    """The backbone compiled, held against torch in every run, and where it `must_pay` timed against it as well."""
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
    # Compilers raise nearly anything on what they do not know.
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
    """The backbone in OpenVINO, converted and held against torch once; given `images`, only if so many pay for it."""
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
    """The encoder of a tower whose verdict is good. Raises `EngineRefused`."""
    if verdict.problem is not None:
        raise EngineRefused(verdict.problem)
    try:
        return openvino.load(store.engines_path() / key, precision=backbone.runtime.precision)
    # A broken file makes OpenVINO raise nearly anything; the next run converts anew.
    except Exception as e:
        store.forget(key)
        raise EngineRefused(one_line(e)) from e


def _runs_openvino(runtime: Runtime) -> bool:
    return runtime.device == "cpu" and runtime.precision in openvino.PRECISIONS and openvino.version() is not None


def _key(backbone: Backbone) -> str:
    """A name for all that a converted tower comes from."""
    height, width = backbone.preprocessing.size
    made_of = hashlib.sha256(f"{backbone.fingerprint} {backbone.preprocessing!r}".encode()).hexdigest()[:32]
    return f"{made_of}-{height}x{width}-{backbone.runtime.precision}-openvino-{openvino.version()}"


def _convert(backbone: Backbone, folder: Path) -> Verdict:
    """Convert, and hold what comes out against torch. Whatever goes wrong is the verdict."""
    cosine = None
    try:
        openvino.convert(backbone, folder)
        encode = openvino.load(folder, precision=backbone.runtime.precision)
        cosine = least_cosine(encode, backbone)
        check(cosine)
    # Converters raise nearly anything on what they do not know.
    except Exception as e:
        for path in folder.iterdir():
            path.unlink()
        return Verdict(cosine=cosine, problem=one_line(e))
    return Verdict(cosine=cosine, problem=None)
