"""The events that pipelines yield as they work: the command line shows them, a program may not."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from clipcli.records import ModelRecord, Provenance, Row


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning: something the user should know, though the work goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class LabelsDoubted(Warned):
    """A warning about labels that the text tower cannot do justice to: what was found, and what to do about it."""

    labels: tuple[str, ...]
    says: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A note about how the work is done."""

    message: str


@dataclass(frozen=True, slots=True)
class Downloading:
    """Progress of a download: bytes `done` of `total`, which is `None` if the server does not say."""

    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class InputsFound:
    """The number of images of the run; `earlier` of them have rows from the run that is resumed.

    `left_out` says what of the inputs is not among them, for the summary.
    """

    count: int
    earlier: int = 0
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowsPlanned:
    """How the rows will be made: everything is read and checked, but for the model."""

    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Loading:
    """A model is being loaded, from `where` it is: a folder, or words for one. `size` is in bytes."""

    name: str
    where: str
    size: int


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A model was loaded. `runtime` says where it runs, how and why; `details` sums up its checkpoint.

    `record` names the model in a manifest; `None` where nothing is written that has one.
    """

    name: str
    runtime: str
    details: str
    record: ModelRecord | None = None


@dataclass(frozen=True, slots=True)
class ModelKnown:
    """A model was not loaded, as its embeddings so far are in the cache, in this precision."""

    name: str
    precision: str
    details: str
    record: ModelRecord | None = None


@dataclass(frozen=True, slots=True)
class ClassesEncoded:
    """Progress of class embeddings: `done` of `total` classes, `cached` of them from the cache."""

    done: int
    total: int
    cached: int
    prompts_per_class: float


@dataclass(frozen=True, slots=True)
class RowsReady:
    """The next rows of the output, in input order. With `earlier` they are those of the run that is resumed.

    With `missing` they are of images that are no longer there, which an update keeps.
    """

    rows: tuple[Row, ...]
    earlier: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """An output was brought up to date: what became of its rows, each counted once, `dropped` beside them.

    `kept` are as they were, `new` are of new images, `moved` of images that were elsewhere, `changed` of files with
    other content, `relabelled` of images that get another label now, and `corrected` got theirs from a person in this
    update. `missing` are of images that are gone, and kept. `loses` says that rows of images that are gone were
    dropped, or can no longer be told from the model's, that a person may have corrected.
    """

    kept: int = 0
    new: int = 0
    moved: int = 0
    changed: int = 0
    dropped: int = 0
    corrected: int = 0
    relabelled: int = 0
    missing: int = 0
    loses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpent:
    """The seconds that a run spent on each kind of work, out of `total`.

    `load` is the time to load models, `labels` to encode classes, `cache` to look images up and keep them, `wait` the
    time that the model waited for pixels, `copy` to start copies to a card, `write` what the caller took to score and
    write. `start` came before the images were listed, and `finish` after the last: the caller knows of them. Beside all
    that, `read` and `decode` are summed over `workers` threads.
    """

    total: float
    start: float = 0.0
    load: float = 0.0
    labels: float = 0.0
    cache: float = 0.0
    read: float = 0.0
    decode: float = 0.0
    wait: float = 0.0
    copy: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    finish: float = 0.0
    workers: int = 0

    @property
    def in_turn(self) -> dict[str, float]:
        """The seconds of the work that is done in turn, by kind, `other` among them: they sum to the total."""
        kinds = ("start", "load", "labels", "cache", "wait", "copy", "encode", "write", "finish")
        spent: dict[str, float] = {kind: getattr(self, kind) for kind in kinds}
        return spent | {"other": self.total - sum(spent.values())}

    @property
    def bottleneck(self) -> str:
        """The kind of work that took most of the time, of `in_turn`; for `wait` it is what was waited for."""
        spent = self.in_turn
        slowest = max(spent, key=spent.__getitem__)
        if slowest != "wait":
            return slowest
        return "read" if self.read > self.decode else "decode"


@dataclass(frozen=True, slots=True)
class ImagesEmbedded:
    """Progress of image embeddings: `done` of `total` images, including those that cannot be read."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ImagesCompared:
    """Progress of comparing all images with each other: `done` of `total` are compared with all that come after."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ImagesGathered:
    """Progress of images that are embedded all before the first row: `done` of `total`."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Refined:
    """The classifier was refined on so many images, and `changed` of them got another label.

    `reason` says why it was left alone; then none was changed.
    """

    images: int
    changed: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class ThumbnailsMade:
    """Progress of a page: `done` of the `total` thumbnails that it shows."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PageServed:
    """A page is served on this machine at an address."""

    url: str


@dataclass(frozen=True, slots=True)
class PhotosReviewed:
    """Progress of a review: what a person said about `done` of `total` photos is on disk."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ProbeFitted:
    """A linear probe was fitted: `done` of `total`. It had `shots` images per class, or all of them if `None`."""

    done: int
    total: int
    shots: int | None


@dataclass(frozen=True, slots=True)
class PairsFound:
    """The number of pairs of images and captions to train on, and of those skipped while listing them."""

    count: int
    skipped: int


@dataclass(frozen=True, slots=True)
class StepDone:
    """A training step is done, of `steps`; `loss` is that of all processes.

    `lr` is the current learning rate of a tower without one of its own. `logit_scale` is the factor itself.
    `images_per_second` is the recent throughput of all processes. `memory` is the peak in bytes of this process, or of
    its card. `seconds` have passed and `seconds_left` remain, without validations.
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
    """The metrics of a validation after a step, by name; shares are from 0 to 1."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint was saved completely."""

    step: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Mixed:
    """Measurements of a mix of starting weights and trained weights, by WiSE-FT (Wortsman et al. 2022).

    `alpha` is the share of the trained weights. `retention` is `None` if nothing was to be retained. `chosen` marks the
    mix that is kept.
    """

    alpha: float
    validation: float | None
    retention: float | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class FilesActedOn:
    """Progress of what acts on files: steps `done` of `total`."""

    done: int
    total: int


Event = (
    Warned
    | Noted
    | Downloading
    | InputsFound
    | RowsPlanned
    | Loading
    | ModelLoaded
    | ModelKnown
    | ClassesEncoded
    | RowsReady
    | Updated
    | TimeSpent
    | ImagesEmbedded
    | ImagesCompared
    | ImagesGathered
    | Refined
    | ThumbnailsMade
    | PageServed
    | PhotosReviewed
    | ProbeFitted
    | PairsFound
    | StepDone
    | Validated
    | CheckpointSaved
    | Mixed
    | FilesActedOn
)
Result = TypeVar("Result")


def result_of(events: Generator[Event, None, Result], *, show: Callable[[Event], None] | None = None) -> Result:
    """Run a pipeline to its end and return its result; each event is passed to `show`. Raises what it raises."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        if show is not None:
            show(event)
