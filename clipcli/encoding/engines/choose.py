"""Chooses the engine that encodes images: the one named, or the one that pays for a long run."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.onnx_towers import OnnxTower
from clipcli.backbones.runtime import Runtime
from clipcli.encoding.engines import compiled, openvino, store
from clipcli.encoding.engines.agreement import check, least_cosine
from clipcli.encoding.engines.kinds import ENGINES
from clipcli.encoding.engines.prepared import PreparedImages, encodes, load_tower, tower_key
from clipcli.encoding.engines.store import EngineRefused, Verdict
from clipcli.errors import CacheUnusable, MissingExtra, UsageError, install, one_line, unknown
from clipcli.events import Event, Noted, Warned

# From this many images on, `auto` converts for OpenVINO. Converting ViT-B/32 takes as long as OpenVINO saves on some
# 7,000 images, and later runs save as well.
PAYS_FROM = 5000
# From this many images on, `auto` compiles on a card. Compiling takes about a minute, in which a card encodes tens of
# thousands of images. An estimate.
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


def with_engine(backbone: Backbone, *, engine: str, images: int) -> Generator[Event, None, Backbone | PreparedImages]:
    """The backbone with the named engine; `auto` chooses another engine than torch if it pays for this many `images`.

    Another engine is first compared with torch. If it gives other embeddings or fails, a `Warned` says so and torch
    stays. The engine must have passed `check_engine`.
    """
    runtime = backbone.runtime
    if isinstance(backbone.towers.visual, OnnxTower):
        if engine not in ("auto", "torch"):
            yield Warned(f"{backbone.name} is in ONNX, which ONNX Runtime runs; --engine {engine} changes nothing")
        return backbone
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


def prepare(backbone: Backbone, tower: str) -> Generator[Event, None, Verdict]:
    """Convert a tower, `image` or `text`, for OpenVINO and keep it, unless there is a verdict on it already.

    Raises `CacheUnusable`.
    """
    key = _key(backbone, tower)
    verdict = store.verdict_on(key)
    if verdict == store.DAMAGED:
        yield Warned(f"What was kept of the {tower} tower of {backbone.name} is not as it was written.")
        verdict = None
    if verdict is None:
        yield Noted(f"Converting the {tower} tower of {backbone.name} for OpenVINO, once …")
        # Torch, which converts, is not needed where a tower was converted already.
        from clipcli.encoding.engines.convert import converted

        verdict = store.keep(key, lambda: converted(backbone, tower))
    return verdict


def _with_openvino(backbone: Backbone, *, images: int | None) -> Generator[Event, None, Backbone | PreparedImages]:
    """The image tower in OpenVINO, converted and compared with torch once; given `images`, if so many pay for it."""
    key = _key(backbone, IMAGE)
    verdict = store.verdict_on(key)
    if images is not None and (images < PAYS_FROM if verdict is None else verdict.problem is not None):
        return backbone
    try:
        verdict = yield from prepare(backbone, IMAGE)
        tower = load_tower(key, verdict, precision=backbone.runtime.precision)
    except (CacheUnusable, EngineRefused) as e:
        yield Warned(f"OpenVINO cannot be used for {backbone.name}: {e}; torch goes on")
        return backbone
    yield encodes("the images", verdict)
    return PreparedImages.of(tower, verdict.about, name=backbone.name, runtime=backbone.runtime)


def _runs_openvino(runtime: Runtime) -> bool:
    return runtime.device == "cpu" and runtime.precision in openvino.PRECISIONS and openvino.version() is not None


def _key(backbone: Backbone, tower: str) -> str:
    return tower_key(
        tower,
        fingerprint=backbone.fingerprint,
        preprocessing=repr(backbone.preprocessing),
        precision=backbone.runtime.precision,
    )
