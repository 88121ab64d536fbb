"""The `Limits` on an image: the pixels, seconds and memory that its decoding may take, and whether it may be cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# An image that takes longer than this in a worker process, or more memory, is given up.
SECONDS, MEMORY = 60.0, 4 * 10**9


class DecodingSettings(Protocol):
    """The settings of a command about what decoding an image may cost."""

    @property
    def max_pixels(self) -> int | None: ...
    @property
    def truncated(self) -> str: ...
    @property
    def decode_timeout(self) -> float | None: ...
    @property
    def decode_memory(self) -> int | None: ...
    @property
    def isolate(self) -> bool: ...
    @property
    def untrusted(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What decoding an image may cost. `max_pixels` of `None` is Pillow's own limit; `truncated` a key of `TRUNCATED`.

    With `isolate`, images are decoded in worker processes, for at most so many `seconds` and bytes of `memory` each.
    """

    max_pixels: int | None = None
    truncated: str = "error"
    isolate: bool = False
    seconds: float = SECONDS
    memory: int = MEMORY


def limits_of(settings: DecodingSettings) -> Limits:
    """The limits that the settings of a command set. A limit on time or memory needs worker processes."""
    seconds, memory = settings.decode_timeout, settings.decode_memory
    return Limits(
        max_pixels=settings.max_pixels,
        truncated=settings.truncated,
        isolate=settings.isolate or settings.untrusted or seconds is not None or memory is not None,
        seconds=SECONDS if seconds is None else seconds,
        memory=MEMORY if memory is None else memory,
    )
