"""Settings of how models run and images are decoded: the same flags, help and defaults in several commands."""

from __future__ import annotations

import dataclasses

from clipcli.backbones.devices import DEVICES, NUMBERED, PRECISIONS
from clipcli.encoding.engines.kinds import ENGINES
from clipcli.images.kinds import COLORS, DECODES, TRUNCATED
from clipcli.images.limits import MEMORY, SECONDS
from clipcli.memory.cache import DEFAULT_SIZE, read_size
from clipcli.settings import Reads, Settings, as_text, record, setting


@record
class Network(Settings):
    """Whether what is not on this machine may be fetched."""

    offline: bool = setting(default=False, group="what", harmless=True, rare=True)
    """Fetch nothing: a model that is not on this machine is an error, and so is an address such as https://."""


@record
class Hardware(Network):
    """The device and precision of a model, and whether its embeddings are cached."""

    device: str = setting(default="auto", group="speed", metavar="D", choices=DEVICES, also=NUMBERED)
    """Where the model runs; cuda:1 is the second card."""

    precision: str = setting(default="auto", group="speed", metavar="P", choices=PRECISIONS)
    """The precision that it computes in."""

    cache: bool = setting(default=True, group="speed")
    """Read and write the cache of embeddings; --no-cache leaves it alone."""


def _memory(value: object) -> int:
    """Bytes, of a size such as 2GB."""
    return value if type(value) is int else read_size(as_text(value), what="memory")


@record
class Decoding(Settings):
    """What decoding an image may cost, and whether it is done apart."""

    max_pixels: int | None = setting(
        default=None, group="how", metavar="N", least=1, by_default="178,956,970", rare=True
    )
    """Skip images of more pixels: give more for large panoramas."""

    truncated: str = setting(default="error", group="how", choices=TRUNCATED, explained=True, metavar="T", rare=True)
    """How truncated images are taken."""

    isolate: bool = setting(default=False, group="how", rare=True)
    """Decode in worker processes that are watched: an image whose decoder hangs, dies or takes all memory is skipped,
    and the others go on."""

    untrusted: bool = setting(default=False, group="how", rare=True)
    """The images are from strangers: --isolate, and names in a .csv of predictions or skipped images are kept from
    being formulas of a spreadsheet."""

    decode_timeout: float | None = setting(
        default=None,
        group="how",
        metavar="SECONDS",
        least=0.001,
        by_default=f"{SECONDS:g} with --isolate",
        rare=True,
    )
    """Skip an image that takes longer to read and decode; turns --isolate on."""

    decode_memory: Reads[str | int | None, int | None] = setting(
        default=None,
        group="how",
        metavar="SIZE",
        by_default=f"{MEMORY // 10**9}GB with --isolate",
        rare=True,
        reads=_memory,
        accepts="str | int | None",
        noun="a size",
    )
    """Skip an image that takes more memory to decode, as in 2GB; turns --isolate on."""


def _size(value: object) -> str:
    text = as_text(value)
    read_size(text)
    return text


@record
class Encoding(Hardware, Decoding):
    """Settings for decoding and encoding images."""

    batch_size: int | None = setting(default=None, group="speed", least=1, by_default="by device and model")
    """Images encoded at once."""

    workers: int | None = setting(
        default=None, group="speed", least=1, by_default="one a core, more where they wait for bytes"
    )
    """Threads that decode images."""

    decode: str = setting(default="exact", group="speed", metavar="D", choices=DECODES, explained=True)
    """How images are decoded."""

    color: str = setting(default="managed", group="speed", metavar="C", choices=COLORS, explained=True, rare=True)
    """How colours are read."""

    frames: int | None = setting(
        default=None, group="how", least=1, by_default="the first, and of a video the middle one", rare=True
    )
    """Look at N frames or pages of each video, animation, TIFF or PDF, spread evenly: their mean counts."""

    engine: str = setting(default="auto", group="speed", metavar="E", choices=ENGINES)
    """The engine that runs the model."""

    cache_size: str | None = setting(
        default=None, group="speed", metavar="SIZE", by_default=DEFAULT_SIZE, rare=True, reads=_size
    )
    """How large the cache may grow, as in 500MB."""

    verify: bool = setting(default=False, group="speed", rare=True)
    """Take an image's embedding from the cache only if its content is the same too."""


def encoding_of(settings: Settings) -> Encoding:
    """What another record says of decoding and encoding, with the defaults for what it does not say."""
    names = [field.name for field in dataclasses.fields(Encoding)]
    return Encoding(**{name: getattr(settings, name) for name in names if hasattr(settings, name)})
