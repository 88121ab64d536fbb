"""What a pipeline says while it works. The command line renders these; a program may ignore them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from clipcli.types import Row


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know that does not stop the work."""

    message: str


@dataclass(frozen=True, slots=True)
class Downloading:
    """Progress of a download: bytes `done` of `total` (`None` where the server does not say)."""

    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class InputsFound:
    """How many images there will be rows for."""

    count: int


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """The model is ready; `runtime` says where and how it runs and why, `details` what was read off the checkpoint."""

    name: str
    runtime: str
    details: str


@dataclass(frozen=True, slots=True)
class ClassesEncoded:
    """Class embeddings: `done` of `total` classes are there, `cached` of them from the cache."""

    done: int
    total: int
    cached: int
    prompts_per_class: float


@dataclass(frozen=True, slots=True)
class RowsReady:
    """The next rows of the output, in input order."""

    rows: tuple[Row, ...]


Event = Warned | Downloading | InputsFound | ModelLoaded | ClassesEncoded | RowsReady
Result = TypeVar("Result")


def result_of(events: Generator[Event, None, Result], *, show: Callable[[Event], None] | None = None) -> Result:
    """What a pipeline returns, when all its events have been shown to `show`."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        if show is not None:
            show(event)
