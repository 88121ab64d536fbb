"""The start of a run without torch: towers that an earlier run prepared, by what is known of the model."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator
from typing import Protocol

from clipcli.backbones.checkpoint import IMAGE, TEXT
from clipcli.backbones.devices import MOST_WORKERS, cores
from clipcli.backbones.directory import ONNX_NAME
from clipcli.backbones.runtime import Runtime
from clipcli.encoding.engines import openvino, store
from clipcli.encoding.engines.prepared import (
    OPENVINO,
    PreparedImages,
    PreparedTexts,
    encodes,
    load_tower,
    tower_key,
)
from clipcli.encoding.engines.store import EngineRefused, Verdict
from clipcli.errors import install
from clipcli.events import Event, Noted, Warned
from clipcli.memory.memory import Memory
from clipcli.memory.models import ModelFacts

# Up to so many prompts `auto` encodes with a prepared tower. For more torch is sooner there, although it takes seconds
# to load: it computes what prompts have in common once.
MOST_PROMPTS = 1000
_REASON = " without torch, as the model was prepared"
_HINTED = "hint of prepared towers/1"


class HowItRuns(Protocol):
    """The settings that the start depends on."""

    @property
    def batch_size(self) -> int | None: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def engine(self) -> str: ...


def suits(settings: HowItRuns, facts: ModelFacts) -> bool:
    """True where OpenVINO may run the model, if it is installed."""
    fits = facts.device == "cpu" and facts.precision in openvino.PRECISIONS and not facts.weights.endswith(ONNX_NAME)
    return settings.engine in ("auto", OPENVINO) and fits


def verdict_on(tower: str, settings: HowItRuns, facts: ModelFacts | None) -> Verdict | None:
    """The verdict on a tower that was prepared and may be used; `None` without one."""
    if facts is None or not suits(settings, facts) or openvino.version() is None:
        return None
    verdict = store.verdict_on(_key(tower, facts))
    return None if verdict is None or verdict.problem is not None else verdict


def unprepared(settings: HowItRuns, facts: ModelFacts | None) -> list[str]:
    """The towers that could be prepared for runs like this one, and were not yet."""
    if facts is None or settings.engine != "auto" or not suits(settings, facts) or openvino.version() is None:
        return []
    return [tower for tower in (IMAGE, TEXT) if store.verdict_on(_key(tower, facts)) is None]


def images(settings: HowItRuns, facts: ModelFacts) -> Generator[Event, None, PreparedImages | None]:
    """The image tower, if it was prepared. If its file is broken, a `Warned` says so."""
    verdict = verdict_on(IMAGE, settings, facts)
    if verdict is None:
        return None
    try:
        tower = load_tower(_key(IMAGE, facts), verdict, precision=facts.precision)
    except EngineRefused as e:
        yield _refused(facts, e)
        return None
    yield encodes(f"the images{_REASON}", verdict)
    runtime = runtime_of(settings, facts, batch_size=verdict.about["batch_size"])
    return PreparedImages.of(tower, verdict.about, name=facts.name, runtime=runtime)


def texts(settings: HowItRuns, facts: ModelFacts, *, count: int) -> Generator[Event, None, PreparedTexts | None]:
    """The text tower for so many prompts, if it was prepared and pays. If its file is broken, a `Warned` says so."""
    verdict = verdict_on(TEXT, settings, facts)
    if verdict is None or (settings.engine == "auto" and count > MOST_PROMPTS):
        return None
    try:
        tower = load_tower(_key(TEXT, facts), verdict, precision=facts.precision)
    except EngineRefused as e:
        yield _refused(facts, e)
        return None
    yield encodes(f"the labels{_REASON}", verdict)
    return PreparedTexts.of(tower, verdict.about)


def runtime_of(settings: HowItRuns, facts: ModelFacts, *, batch_size: int) -> Runtime:
    """How a prepared model runs, found without torch."""
    return Runtime(
        device=facts.device,
        precision=facts.precision,
        reason="as before",
        batch_size=settings.batch_size or batch_size,
        workers=settings.workers or cores(),
        most_workers=settings.workers or MOST_WORKERS,
    )


def hint(model: str, settings: HowItRuns, facts: ModelFacts, *, memory: Memory) -> Iterator[Noted]:
    """How a run would start without torch: said once, where a model that is known was loaded with torch again."""
    could_be = settings.engine == "auto" and suits(settings, facts)
    if not could_be or not memory or any(store.verdict_on(_key(tower, facts)) for tower in (IMAGE, TEXT)):
        return
    if memory.get_bytes([_HINTED]):
        return
    memory.put_bytes({_HINTED: b""}, kind="models")
    first = f"{install('openvino')}, then " if openvino.version() is None else ""
    yield Noted(
        "With few new photos or labels, most of a run is loading torch:"
        f" {first}clipcli models {shlex.quote(model)} --prepare makes that unnecessary."
    )


def _key(tower: str, facts: ModelFacts) -> str:
    return tower_key(tower, fingerprint=facts.fingerprint, preprocessing=facts.preprocessing, precision=facts.precision)


def _refused(facts: ModelFacts, error: EngineRefused) -> Warned:
    return Warned(f"OpenVINO cannot be used for {facts.name}: {error}; torch goes on")
