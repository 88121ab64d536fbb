"""A `Model` in use: its facts from earlier runs, and its towers, loaded when first needed.

The facts that earlier runs left of a model (preprocessing, logit scale, fingerprint) are enough to take embeddings from
memory. So a run that needs no new embedding loads neither the model nor torch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from clipcli import backbones
from clipcli.backbones.checkpoint import IMAGE, TEXT
from clipcli.encoding.engines import quick
from clipcli.encoding.engines.prepared import OPENVINO, PreparedTexts
from clipcli.errors import CacheUnusable, WeightsMismatch
from clipcli.events import Event, Later, Loading, ModelKnown, ModelLoaded, Warned
from clipcli.images.limits import DecodingSettings, limits_of
from clipcli.images.stopwatch import Stopwatch
from clipcli.memory import models
from clipcli.memory.images import ImageStore
from clipcli.memory.memory import Memory
from clipcli.memory.models import ModelFacts, ModelRequest, facts_of
from clipcli.offline import offline

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone
    from clipcli.backbones.checkpoint import Checkpoint, Fetch
    from clipcli.backbones.encoders import ImageEncoder, TextEncoder
    from clipcli.backbones.runtime import Runtime
    from clipcli.encoding.engines.store import Verdict


# From so many seconds of encoding on, a run prepares the model for later ones: that takes half a minute.
LONG_RUN = 300
# The engine of text towers that were not prepared.
TORCH = "torch"


class ModelSettings(DecodingSettings, Protocol):
    """The settings of a command that its models need: where and how they run, and what decoding may cost."""

    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def batch_size(self) -> int | None: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def decode(self) -> str: ...
    @property
    def color(self) -> str: ...
    @property
    def frames(self) -> int | None: ...
    @property
    def engine(self) -> str: ...
    @property
    def verify(self) -> bool: ...
    @property
    def offline(self) -> bool: ...


class Model:
    """One model of a command, by the name that `--model` takes.

    `facts` come from an earlier run, or from this one once the model is loaded; until then they are `None`. `watch`
    counts the time of loading as `load`.
    """

    def __init__(self, name: str, settings: ModelSettings, *, memory: Memory, watch: Stopwatch | None = None) -> None:
        self.settings, self.memory, self.watch = settings, memory, watch or Stopwatch()
        self._request = ModelRequest(backbones.absolute_name(name), settings.device, settings.precision)
        self.facts: ModelFacts | None = models.look_up(self._request, memory=memory)
        self._fetch: Fetch | None = None
        self._checkpoint: Checkpoint | None = None
        self._backbone: Backbone | None = None
        # What encodes images, and the number of images that this was chosen for.
        self._for_images: tuple[ImageEncoder, int] | None = None
        self._for_texts: PreparedTexts | None = None
        # Towers that were prepared, and whose files turned out to be broken.
        self._broken: list[str] = []

    def check(self) -> None:
        """Check the model's name, unless an earlier run has left its facts. Raises `UnknownName`."""
        if self.facts is None and self._fetch is None:
            self._fetch = backbones.find(self._request.model)

    def checkpoint(self) -> Generator[Event, None, Checkpoint]:
        """Get the model's files, downloading them if need be. Raises `UnknownName`, `ModelUnavailable` or `BadFile`."""
        if self._checkpoint is None:
            fetch = self._fetch or backbones.find(self._request.model)
            with offline(self.settings.offline):
                self._checkpoint = yield from fetch()
        return self._checkpoint

    @property
    def asked(self) -> str:
        """The text by which the same model is found from any folder."""
        return self._request.model

    def identity(self) -> Generator[Event, None, tuple[str, str]]:
        """The model's fingerprint and its precision, found without loading the weights.

        Raises as `checkpoint`, and `UsageError` or `MissingExtra` for settings that do not fit this machine.
        """
        if self.facts is not None:
            return self.facts.fingerprint, self.facts.precision
        from clipcli.backbones.checkpoint import fingerprint_of

        checkpoint, runtime = yield from self._checked()
        return fingerprint_of(checkpoint), runtime.precision

    @property
    def name(self) -> str:
        """The model's name as outputs hold it."""
        if self.facts is not None:
            return self.facts.name
        return self._request.model if self._checkpoint is None else self._checkpoint.name

    def load(self, *towers: str) -> Generator[Event, None, Backbone]:
        """Load the model with these towers, `image` or `text`; a model loaded before is returned if it has them all.

        Raises as `identity`, as `backbones.load.load`, and `WeightsMismatch` if the weights have changed in this run.
        """
        if self._backbone is not None and self._backbone.towers.has(*towers):
            return self._backbone
        checkpoint, runtime = yield from self._checked()
        yield Loading(checkpoint.name, backbones.place_of(checkpoint), checkpoint.weights.stat().st_size)
        with self.watch.on("load"), offline(self.settings.offline):
            from clipcli.backbones.load import load

            backbone = self._backbone = load(checkpoint, runtime=runtime, towers=towers, inference=True)
            self._for_images = None
            known, self.facts = self.facts, facts_of(checkpoint, backbone)
        if known is not None and known.fingerprint != self.facts.fingerprint:
            raise WeightsMismatch(f"the weights of {checkpoint.name} have changed since this run began; run it again")
        yield ModelLoaded(checkpoint.name, str(runtime), str(backbone), self.facts.record(runtime.kind))
        models.keep(self.facts, request=self._request, memory=self.memory)
        if known is not None:
            yield from quick.hint(self.asked, self.settings, known, memory=self.memory)
        return backbone

    def is_prepared(self, tower: str) -> bool:
        """True if a tower, `image` or `text`, was prepared by an earlier run, and may be used."""
        return quick.verdict_on(tower, self.settings, self.facts) is not None

    def for_images(self, count: int) -> Generator[Event, None, ImageEncoder]:
        """What encodes `count` images: the image tower that was prepared, or the model, loaded. Raises as `load`.

        What was chosen for as many images or more is used again.
        """
        if self._for_images is not None and count <= self._for_images[1]:
            return self._for_images[0]
        encoder = yield from self._prepared_images()
        if encoder is None:
            from clipcli.encoding.batch_size import with_batch_size
            from clipcli.encoding.engines.choose import with_engine

            backbone = yield from self.load(IMAGE)
            with self.watch.on("load"):
                if self.settings.batch_size is None:
                    backbone = with_batch_size(backbone)
                encoder = yield from with_engine(backbone, engine=self.settings.engine, images=count)
        self._for_images = encoder, count
        return encoder

    def for_texts(self, count: int, *towers: str) -> Generator[Event, None, TextEncoder]:
        """What encodes `count` prompts: the text tower that was prepared, or the model, loaded with `towers` as well.

        Raises as `load`.
        """
        if self._for_texts is not None:
            return self._for_texts
        if self.is_prepared(TEXT) and self.facts is not None:
            with self.watch.on("load"):
                self._for_texts = yield from quick.texts(self.settings, self.facts, count=count)
            if self._for_texts is not None:
                yield self._is_known(self.facts)
                return self._for_texts
            self._broken += [TEXT] if not self.is_prepared(TEXT) else []
        return (yield from self.load(*towers, TEXT))

    def afterwards(self) -> Iterator[Later]:
        """What is to be done later: prepare towers whose files are broken, and those of a run that took long anyway."""
        due, self._broken = self._broken, []
        if self._backbone is not None and self.watch["encode"] >= LONG_RUN:
            due += [tower for tower in quick.unprepared(self.settings, self.facts) if tower not in due]
        if due:
            yield Later(partial(self._prepare_later, due))

    def _prepare_later(self, towers: Sequence[str]) -> Generator[Event, None, None]:
        try:
            for tower in towers:
                yield from self.prepare(tower)
        except CacheUnusable as e:
            yield Warned(f"{e}; later runs need torch")

    def prepare(self, *towers: str) -> Generator[Event, None, list[Verdict]]:
        """Prepare towers for runs without torch; returns the verdicts. Raises as `load`, and `CacheUnusable`."""
        from clipcli.encoding.engines.choose import prepare

        backbone = yield from self.load(*towers)
        verdicts = []
        for tower in towers:
            verdicts += [(yield from prepare(backbone, tower))]
        return verdicts

    @property
    def text_engines(self) -> tuple[str, ...]:
        """The engines whose class embeddings may be taken from memory."""
        if self.settings.engine == "auto":
            return TORCH, OPENVINO
        return (OPENVINO,) if self.is_prepared(TEXT) else (TORCH,)

    def _prepared_images(self) -> Generator[Event, None, ImageEncoder | None]:
        """The image tower that was prepared, if there is one."""
        if not self.is_prepared(IMAGE) or self.facts is None:
            return None
        with self.watch.on("load"):
            encoder = yield from quick.images(self.settings, self.facts)
        if encoder is None:
            self._broken.append(IMAGE)
            return None
        facts = self.facts
        yield ModelLoaded(facts.name, str(encoder.runtime), facts.details, facts.record(facts.device))
        return encoder

    @staticmethod
    def _is_known(facts: ModelFacts) -> ModelKnown:
        return ModelKnown(facts.name, facts.precision, facts.details, facts.record(facts.device))

    @property
    def store(self) -> ImageStore | None:
        """The store of image embeddings from earlier runs; `None` without a cache or before the model is known."""
        if not self.memory or self.facts is None:
            return None
        # Embeddings depend on these beside the model. The engines that `auto` may choose differ only by rounding.
        made_with = (self.settings.decode, self.settings.color, self.settings.engine)
        return ImageStore(self.memory, self.facts, made_with=made_with, verify=self.settings.verify)

    def _checked(self) -> Generator[Event, None, tuple[Checkpoint, Runtime]]:
        """The model's files, and how it runs. Settings that do not fit are said before anything is downloaded."""
        with self.watch.on("load"):
            self._runtime()
            checkpoint = yield from self.checkpoint()
            return checkpoint, self._runtime(checkpoint.precision)

    def _runtime(self, stated: str | None = None) -> Runtime:
        from clipcli.backbones.runtime import choose_runtime
        from clipcli.encoding.engines.choose import check_engine
        from clipcli.images.kinds import check_decode

        settings = self.settings
        runtime = choose_runtime(
            device=settings.device,
            precision=settings.precision,
            batch_size=settings.batch_size,
            workers=settings.workers,
            stated=stated,
        )
        check_decode(settings.decode, device=runtime.kind, isolate=limits_of(settings).isolate)
        check_engine(settings.engine, runtime=runtime)
        return runtime
