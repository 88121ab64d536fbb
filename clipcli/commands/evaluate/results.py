"""What an evaluation comes to: records that the files, the report and the command line are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.calibration import Bin
from clipcli.commands.evaluate.intervals import Estimate
from clipcli.records import Entry

Array = NDArray[np.float32]
Places = NDArray[np.intp]
# The headline figures of labels by their keys, in order; all but `nll` are shares.
CLASSIFICATION_METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_per_class_recall": "mean recall",
    "ece": "ECE",
    "nll": "NLL",
}
RETRIEVAL_METRICS = {
    f"{way}_recall@{k}": f"{spoken} R@{k}"
    for way, spoken in (("image_to_text", "image → text"), ("text_to_image", "text → image"))
    for k in (1, 5, 10)
}


@dataclass(frozen=True, slots=True)
class EvaluatedImages:
    """The images of one DATA: all entries in order with the names of their classes, and of those `M` that were read the
    class `[M]`, the place within DATA, and for each model the embeddings `[M, D]`.
    """

    name: str
    entries: tuple[Entry, ...]
    truths: tuple[str | None, ...]
    truth: Places
    keys: tuple[str, ...]
    embeddings: tuple[Array, ...] = field(repr=False)

    @property
    def skipped(self) -> int:
        """How many images could not be read, or have no label."""
        return len(self.entries) - len(self.truth)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answers on `M` images: its best classes `[M, K]`, best first, and their scores `[M, K]`.

    `truth` is the right class `[M]`, `truth_score` its score `[M]`, `loss` its negative log-likelihood `[M]` in nats.
    """

    best: Places
    scores: Array
    truth: Places
    truth_score: Array
    loss: NDArray[np.float64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the best class is the right one, `[M]`."""
        hits: NDArray[np.bool_] = self.best[:, 0] == self.truth
        return hits

    def of(self, rows: Places) -> Answers:
        """The answers on these of the images."""
        return Answers(*(getattr(self, name)[rows] for name in self.__slots__))


def joined(parts: Sequence[Answers]) -> Answers:
    """The answers on all images of the parts, in order."""
    return Answers(*(np.concatenate([getattr(part, name) for part in parts]) for name in Answers.__slots__))


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class: of images called so, the share that is of it; of its images, the share called so; both in one."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Run:
    """One model with one prompt set on one DATA. `confusion` `[C, C]` counts images by true class and by label.

    `fingerprint` is that of the model's weights.
    """

    data: str
    model: str
    fingerprint: str
    prompts: str
    images: EvaluatedImages = field(repr=False)
    answers: Answers = field(repr=False)
    metrics: Mapping[str, Estimate | None]
    classes: tuple[ClassFigures, ...] = field(repr=False)
    confusion: NDArray[np.int64] = field(repr=False)
    bins: tuple[Bin, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RetrievalRun:
    """One model on one DATA of captions: for each image read its nearest caption, that one's similarity, the nearest of
    its own captions `own`, and the rank `[M]` of that one among all captions, from 1.
    """

    data: str
    model: str
    fingerprint: str
    entries: tuple[Entry, ...]
    captions: int
    nearest: tuple[str, ...] = field(repr=False)
    own: tuple[str, ...] = field(repr=False)
    scores: Array = field(repr=False)
    ranks: Places = field(repr=False)
    metrics: Mapping[str, Estimate | None]


@dataclass(frozen=True, slots=True)
class Probe:
    """A linear probe on one DATA: `shots` images a class, or all where it is `None`, once for each seed.

    `regularisation` is the strength C chosen for each of the `seeds`, `metrics` a value for each; there are intervals
    over images where all images were used, and that only once.
    """

    data: str
    model: str
    shots: int | None
    seeds: tuple[int, ...]
    regularisation: tuple[float, ...]
    metrics: Mapping[str, tuple[float, ...]]
    intervals: Mapping[str, Estimate | None] | None
    converged: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One run's figure less another's, of so many `images` of the one and `base_images` of the other.

    Where images of both are `paired`, it is over these alone: the same images, or `by_name` those that are called alike
    in two DATA.
    """

    metric: str
    run: str
    base: str
    estimate: Estimate
    paired: bool
    images: int
    base_images: int
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All runs of one evaluation, the first of which is the one that the others are compared with."""

    task: str
    labels: tuple[str, ...]
    runs: tuple[Run | RetrievalRun, ...]
    device: str
    precision: str
    probes: tuple[Probe, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def metrics(self) -> dict[str, float | None]:
        """The headline figures of the first run."""
        return {name: None if one is None else one.value for name, one in self.runs[0].metrics.items()}

    @property
    def skipped(self) -> int:
        """How many images could not be read, or have no label, in all DATA."""
        return sum({run.data: skipped_in(run) for run in self.runs}.values())


def entries_of(run: Run | RetrievalRun) -> tuple[Entry, ...]:
    """All images of a run, in order, those that do not count included."""
    return run.entries if isinstance(run, RetrievalRun) else run.images.entries


def skipped_in(run: Run | RetrievalRun) -> int:
    """How many images of a run do not count."""
    return len(entries_of(run)) - counted_in(run)


def counted_in(run: Run | RetrievalRun) -> int:
    """How many images its figures are of."""
    return len(run.ranks) if isinstance(run, RetrievalRun) else len(run.answers.truth)
