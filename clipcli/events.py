"""What a pipeline says while it works. The command line renders these; a program may ignore them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from clipcli.records import ModelRecord, Provenance, Row


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know that does not stop the work."""

    message: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something about how the work is done."""

    message: str


@dataclass(frozen=True, slots=True)
class Downloading:
    """Progress of a download: bytes `done` of `total` (`None` where the server does not say)."""

    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class InputsFound:
    """How many images there will be rows for, and of how many an earlier run that is resumed has left rows."""

    count: int
    earlier: int = 0


@dataclass(frozen=True, slots=True)
class RowsPlanned:
    """How the rows will be made: everything is read and checked, but for the model."""

    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """The model is ready; `runtime` says where and how it runs and why, `details` what was read off the checkpoint.

    `record` names the model in a manifest; `None` where nothing is written that has one.
    """

    name: str
    runtime: str
    details: str
    record: ModelRecord | None = None


@dataclass(frozen=True, slots=True)
class ModelKnown:
    """The model need not be loaded so far: what it gave in earlier runs, in this precision, is in the cache."""

    name: str
    precision: str
    details: str
    record: ModelRecord | None = None


@dataclass(frozen=True, slots=True)
class ClassesEncoded:
    """Class embeddings: `done` of `total` classes are there, `cached` of them from the cache."""

    done: int
    total: int
    cached: int
    prompts_per_class: float


@dataclass(frozen=True, slots=True)
class RowsReady:
    """The next rows of the output, in input order; `earlier` rows are those of the run that is resumed."""

    rows: tuple[Row, ...]
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Where the seconds of a run went, of `total`; `read` and `decode` add up those of `workers` threads.

    `wait` is how long the model had no pixels, `copy` what it took to start their way to a card, `write` what whoever
    takes the rows did with them.
    """

    total: float
    load: float
    read: float
    decode: float
    wait: float
    copy: float
    encode: float
    write: float
    workers: int

    @property
    def bottleneck(self) -> str:
        """What the rest waited for: `read`, `decode`, `copy`, `encode` or `write`."""
        in_turn = {"encode": self.encode, "write": self.write, "copy": self.copy}
        slowest = max(in_turn, key=in_turn.__getitem__)
        if in_turn[slowest] >= self.wait:
            return slowest
        return "read" if self.read > self.decode else "decode"


@dataclass(frozen=True, slots=True)
class ImagesEmbedded:
    """Image embeddings: `done` of `total` images have been read, those that cannot be read included."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ProbeFitted:
    """A linear probe is fitted: `done` of `total`; `shots` images a class, or `None` for all of them."""

    done: int
    total: int
    shots: int | None


@dataclass(frozen=True, slots=True)
class PairsFound:
    """The pairs of images and captions to train on, and how many were skipped while they were listed."""

    count: int
    skipped: int


@dataclass(frozen=True, slots=True)
class StepDone:
    """One training step of `steps`: the loss over all processes, and how things go.

    `lr` is the peak of the tower's rates as it is now, `logit_scale` the factor itself, `images_per_second` that of all
    processes of late, `memory` the peak in bytes of this process, or of its card; `seconds` have passed, and
    `seconds_left` are left without validations.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    lr: float
    logit_scale: float
    grad_norm: float
    images_per_second: float
    memory: int
    seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Validated:
    """Metrics by name after a step; shares are from 0 to 1."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint is whole and on the disk."""

    step: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Mixed:
    """A model between the starting weights and the trained ones, `alpha` of the way, as measured.

    `retention` is `None` where there is nothing to retain; `chosen` says that this one is kept.
    """

    alpha: float
    validation: float | None
    retention: float | None
    chosen: bool


Event = (
    Warned
    | Noted
    | Downloading
    | InputsFound
    | RowsPlanned
    | ModelLoaded
    | ModelKnown
    | ClassesEncoded
    | RowsReady
    | TimeSpent
    | ImagesEmbedded
    | ProbeFitted
    | PairsFound
    | StepDone
    | Validated
    | CheckpointSaved
    | Mixed
)
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
