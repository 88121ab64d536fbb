"""How well images of no class are told from those of the classes: AUROC, false positives, and what is lost by default.

An image is scored by `clipcli.scoring.unknown`. As usual in the field, an image of a class is the positive one: FPR at
95 % TPR is the share of images of no class that is kept where 95 % of the images of the classes are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.chunks import in_chunks
from clipcli.commands.evaluate.images import split_by_data
from clipcli.commands.evaluate.results import Float32Array, UnknownResult
from clipcli.encoding.embed import embed_images
from clipcli.encoding.model import Model
from clipcli.events import Event
from clipcli.records import ImageItem, Skipped
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.intervals import Float64Array, Statistic, bootstrap
from clipcli.scoring.unknown import default_threshold, unknown_scores

_TPR = 0.95
# Points of the curve that are kept, at equal steps of the false positives.
_POINTS = 101
_Rates = tuple[Float64Array, Float64Array]


@dataclass(frozen=True, slots=True)
class UnknownImages:
    """The images of a folder, which are of no class: those skipped, and for each model `embeddings` `[U, D]`."""

    folder: str
    skipped: tuple[Skipped, ...]
    embeddings: tuple[Float32Array, ...]


def embed_unknown(
    items: Sequence[ImageItem], models: Sequence[Model], *, folder: str
) -> Generator[Event, None, UnknownImages]:
    """Embed the images of no class with each model. Raises `UsageError` if none can be read."""
    entries, embeddings = yield from embed_images(items, models=models)
    [(_, parts)] = split_by_data(entries, embeddings, sizes=[(folder, len(items))])
    return UnknownImages(folder, tuple(entry for entry in entries if isinstance(entry, Skipped)), tuple(parts))


def evaluate_unknown(
    known: Float32Array, images: UnknownImages, classifier: Classifier, *, model: int
) -> UnknownResult:
    """Compare images of the classes `[M, D]` with those of none, as the model with this index embeds them."""
    from sklearn.metrics import roc_curve

    unknown = images.embeddings[model]
    scores = np.concatenate([_scores(known, classifier), _scores(unknown, classifier)])
    is_known = np.arange(len(scores)) < len(known)
    at = default_threshold(classifier)
    statistics = unknown_statistics(scores, is_known, at=at)
    rates = roc_curve(is_known, -scores)
    grid = np.linspace(0, 1, _POINTS)
    # Where the rate of false positives does not change, the highest of true ones counts.
    curve = np.interp(grid, *_highest(*rates[:2]))
    return UnknownResult(
        folder=images.folder,
        images=len(unknown),
        skipped=images.skipped,
        at=at,
        metrics=bootstrap(statistics, count=len(scores)),
        curve=tuple((float(x), float(y)) for x, y in zip(grid, curve, strict=True)),
    )


def unknown_statistics(
    scores: NDArray[np.float32], is_known: NDArray[np.bool_], *, at: float
) -> Mapping[str, Statistic]:
    """The metrics as statistics of images with these scores `[N]`, how sure it is that they are unknown."""
    return {
        "auroc": _by_curve(scores, is_known, _area),
        "fpr95": _by_curve(scores, is_known, lambda false, true: float(false[np.searchsorted(true, _TPR - 1e-9)])),
        "known_lost": _share(scores >= at, is_known, of=is_known),
        "unknown_found": _share(scores >= at, is_known, of=~is_known),
    }


def _by_curve(
    scores: NDArray[np.float32], is_known: NDArray[np.bool_], measure: Callable[[Float64Array, Float64Array], float]
) -> Statistic:
    """What a measure says of the rates of false and true positives, as a statistic."""
    from sklearn.metrics import roc_curve

    def statistic(weights: Float64Array) -> Float64Array:
        drawn = _of_both(weights, is_known)
        return np.array([measure(*roc_curve(is_known, -scores, sample_weight=one)[:2]) for one in drawn])

    return statistic


def _share(hits: NDArray[np.bool_], is_known: NDArray[np.bool_], *, of: NDArray[np.bool_]) -> Statistic:
    def statistic(weights: Float64Array) -> Float64Array:
        drawn = _of_both(weights, is_known)
        shares: Float64Array = (drawn @ (hits & of)) / (drawn @ of.astype(np.float64))
        return shares

    return statistic


def _of_both(weights: Float64Array, is_known: NDArray[np.bool_]) -> Float64Array:
    """The weights `[B, N]`, but each image once in a draw that has images of one kind alone."""
    has_both = (weights[:, is_known].sum(axis=1) > 0) & (weights[:, ~is_known].sum(axis=1) > 0)
    return np.where(has_both[:, None], weights, 1.0)


def _area(false: Float64Array, true: Float64Array) -> float:
    from sklearn.metrics import auc

    return float(auc(false, true))


def _highest(false: Float64Array, true: Float64Array) -> _Rates:
    last = np.append(np.diff(false) > 0, True)
    return false[last], true[last]


def _scores(embeddings: Float32Array, classifier: Classifier) -> Float32Array:
    return np.concatenate([unknown_scores(embeddings[rows], classifier) for rows in in_chunks(len(embeddings))])
