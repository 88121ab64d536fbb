"""The results of an evaluation, as records.

Files, report and command line are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.hierarchy_results import Hierarchy
from clipcli.records import Entry, Skipped
from clipcli.scoring.calibration import Calibration
from clipcli.scoring.intervals import Estimate
from clipcli.scoring.reliability import Bin

Float32Array = NDArray[np.float32]
IndexArray = NDArray[np.intp]
# The headline metrics by their keys in metrics.json, with their names in tables. All but `nll` are shares from 0 to 1.
CLASSIFICATION_METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_per_class_recall": "mean recall",
    "ece": "ECE",
    "nll": "NLL",
}
UNKNOWN_METRICS = {
    "auroc": "AUROC",
    "fpr95": "FPR at 95 % TPR",
    "known_lost": "known lost",
    "unknown_found": "unknown found",
}
SEVERAL_METRICS = {"map": "mAP", "f1_micro": "F1 micro", "f1_macro": "F1 macro"}
RETRIEVAL_METRICS = {
    f"{way}_recall@{k}": f"{name} R@{k}"
    for way, name in (("image_to_text", "image → text"), ("text_to_image", "text → image"))
    for k in (1, 5, 10)
}


@dataclass(frozen=True, slots=True)
class EvaluatedImages:
    """The images of one DATA, with their classes and embeddings.

    `entries` are all images in order, and `class_names` has the name of each one's class, `None` if it has no label.
    The other fields are about the `M` images that were read and have a label: `truth` is the index of the class `[M]`,
    `keys` the path within DATA, and `embeddings` has an array `[M, D]` for each model.
    """

    name: str
    entries: tuple[Entry, ...]
    class_names: tuple[str | None, ...]
    truth: IndexArray
    keys: tuple[str, ...]
    embeddings: tuple[Float32Array, ...] = field(repr=False)

    @property
    def skipped(self) -> int:
        """The number of images that could not be read or have no label."""
        return len(self.entries) - len(self.truth)


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions of a model for `M` images: the `best` classes `[M, K]`, best first, and their scores `[M, K]`.

    `truth` is the true class `[M]`, `truth_score` its score `[M]`, `loss` its negative log-likelihood `[M]` in nats.
    """

    best: IndexArray
    scores: Float32Array
    truth: IndexArray
    truth_score: Float32Array
    loss: NDArray[np.float64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """True for each image whose best class is the true one, `[M]`."""
        hits: NDArray[np.bool_] = self.best[:, 0] == self.truth
        return hits

    def select(self, rows: IndexArray) -> Predictions:
        """The predictions for some of the images, by their indices."""
        return Predictions(*(getattr(self, name)[rows] for name in self.__slots__))


def join_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate predictions for several groups of images, in order."""
    return Predictions(*(np.concatenate([getattr(part, name) for part in parts]) for name in Predictions.__slots__))


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """The metrics of one class, shares from 0 to 1; `support` is the number of its images."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class UnknownResult:
    """How well the images of a folder, which are of no class, are told from those of a run.

    `images` is the number of those that could be read. `at` is the score from which on an image is unknown by default:
    `known_lost` and `unknown_found` are the shares of the images of the classes and of the folder that are then. The
    points of the `curve` are the shares of both that are kept: first of the folder, then of the classes.
    """

    folder: str
    images: int
    skipped: tuple[Skipped, ...] = field(repr=False)
    at: float
    metrics: Mapping[str, Estimate]
    curve: tuple[tuple[float, float], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Run:
    """The results of one model with one prompt set on the labels of one DATA.

    `fingerprint` is that of the model's weights. `confusion` `[C, C]` counts images by true class (rows) and predicted
    class (columns). `bins` are those of the reliability diagram. The classifier was refined on `refined_on` images, and
    has this `calibration`; `None` if it is not. `hierarchy` is `None` for classes in no groups.
    """

    data: str
    model: str
    fingerprint: str
    prompts: str
    images: EvaluatedImages = field(repr=False)
    predictions: Predictions = field(repr=False)
    metrics: Mapping[str, Estimate | None]
    classes: tuple[ClassMetrics, ...] = field(repr=False)
    confusion: NDArray[np.int64] = field(repr=False)
    bins: tuple[Bin, ...] = field(repr=False)
    refined_on: int | None = None
    calibration: Calibration | None = None
    unknown: UnknownResult | None = None
    hierarchy: Hierarchy | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RetrievalRun:
    """The results of one model on the captions of one DATA, `captions` in number.

    `entries` are all images in order. For each of the `M` images that were read, `nearest` is the caption with the
    highest similarity and `scores` `[M]` that similarity; `own` is the nearest of the image's own captions, and `ranks`
    `[M]` the rank of that one among all captions, from 1.
    """

    data: str
    model: str
    fingerprint: str
    entries: tuple[Entry, ...]
    captions: int
    nearest: tuple[str, ...] = field(repr=False)
    own: tuple[str, ...] = field(repr=False)
    scores: Float32Array = field(repr=False)
    ranks: IndexArray = field(repr=False)
    metrics: Mapping[str, Estimate | None]


@dataclass(frozen=True, slots=True)
class LabelMetrics:
    """The metrics of one of several labels, shares from 0 to 1.

    `support` is the number of images that have it, and `given` of those that are given it. `average_precision` is
    `None` if no image has it.
    """

    label: str
    average_precision: float | None
    precision: float
    recall: float
    f1: float
    support: int
    given: int


@dataclass(frozen=True, slots=True)
class SeveralRun:
    """The results of one model with one prompt set on one DATA, whose images may have several labels.

    `entries` are all images in order. Of the `M` images that were read, `truth` has the true labels `[M, C]`, `scores`
    the scores `[M, C]`, and `given` the labels whose scores are at the `threshold` or above.
    """

    data: str
    model: str
    fingerprint: str
    prompts: str
    entries: tuple[Entry, ...]
    truth: NDArray[np.bool_] = field(repr=False)
    scores: Float32Array = field(repr=False)
    given: NDArray[np.bool_] = field(repr=False)
    threshold: float
    metrics: Mapping[str, Estimate | None]
    classes: tuple[LabelMetrics, ...] = field(repr=False)


AnyRun = Run | RetrievalRun | SeveralRun


@dataclass(frozen=True, slots=True)
class Probe:
    """The results of linear probes on one DATA, one probe for each of the `seeds`.

    `shots` is the number of training images per class, or `None` for all of them. `regularisation` holds the strength C
    chosen for each seed, `metrics` the values for each seed. `intervals`, over images, exist only if `shots` is `None`.
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
    """A metric of `run`, over so many `images`, minus that of `base`, over `base_images`.

    `paired` says that both are over the same images. With `by_name` these come from two DATA, and are the images that
    have the same path within both.
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
    """The results of an evaluation: all runs, the first of which is the baseline, with linear probes and differences.

    `labels` are the names of the classes; there are none for retrieval.
    """

    task: str
    labels: tuple[str, ...]
    runs: tuple[AnyRun, ...]
    device: str
    precision: str
    probes: tuple[Probe, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def metrics(self) -> dict[str, float | None]:
        """The headline metrics of the first run, by their keys in metrics.json."""
        return {name: None if estimate is None else estimate.value for name, estimate in self.runs[0].metrics.items()}

    @property
    def skipped(self) -> int:
        """The number of images in all DATA that could not be read or have no label, and of no class and unreadable."""
        return sum({run.data: count_skipped(run) for run in self.runs}.values()) + len(skipped_unknown(self.runs))


def entries_of(run: AnyRun) -> tuple[Entry, ...]:
    """All images of a run in order, with those that were skipped."""
    return run.images.entries if isinstance(run, Run) else run.entries


def skipped_unknown(runs: Sequence[AnyRun]) -> tuple[Skipped, ...]:
    """The images of no class that could not be read: the same for all runs."""
    first = runs[0]
    return first.unknown.skipped if isinstance(first, Run) and first.unknown is not None else ()


def count_skipped(run: AnyRun) -> int:
    """The number of images of a run that were skipped."""
    return len(entries_of(run)) - count_images(run)


def count_images(run: AnyRun) -> int:
    """The number of images that a run's metrics are about."""
    if isinstance(run, Run):
        return len(run.predictions.truth)
    return len(run.ranks if isinstance(run, RetrievalRun) else run.truth)


def prompts_in_words(run: AnyRun) -> str:
    """The name of a run's prompt set, and whether its classifier is refined; empty for retrieval, which has none."""
    if isinstance(run, RetrievalRun):
        return ""
    return f"{run.prompts} refined" if isinstance(run, Run) and run.refined_on is not None else run.prompts
