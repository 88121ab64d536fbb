"""Metrics of several labels an image: mean average precision, and F1, as scikit-learn has them, with intervals.

Average precision of a label ranks all images by their scores for it, whatever its threshold; its mean over the labels
is mAP. F1 is by the labels that images get: `f1_micro` counts all pairs of image and label together, `f1_macro` is the
mean of the labels' own F1, in which rare labels weigh as much as frequent ones. A label that no image has, has neither
average precision nor an F1 of its own; where it is given, `f1_micro` counts it as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.results import Float32Array, LabelMetrics
from clipcli.scoring.intervals import Estimate, Float64Array, Statistic, bootstrap

Truth = NDArray[np.bool_]


def estimate_several(
    scores: Float32Array, truth: Truth, given: Truth, *, keys: Sequence[str]
) -> dict[str, Estimate | None]:
    """The headline metrics with their intervals, of the scores, the true labels and those given, each `[M, C]`.

    Images are resampled in the order of their `keys`, so that runs on the same images see the same draws.
    """
    order = np.array(sorted(range(len(keys)), key=lambda n: keys[n]), dtype=np.intp)
    scores, truth, given = scores[order], truth[order], given[order]
    known = truth.any(axis=0)
    statistics = {
        "map": mean_average_precision(scores[:, known], truth[:, known]),
        "f1_micro": micro_f1(given, truth),
        "f1_macro": macro_f1(given[:, known], truth[:, known]),
    }
    return dict(bootstrap(statistics, count=len(order)))


def metrics_of_labels(
    labels: Sequence[str], scores: Float32Array, truth: Truth, given: Truth
) -> tuple[LabelMetrics, ...]:
    """The metrics of each label, by scikit-learn; a label that no image has, has no average precision."""
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    columns = precision_recall_fscore_support(truth, given, zero_division=0)
    return tuple(
        LabelMetrics(
            label=label,
            average_precision=float(average_precision_score(truth[:, n], scores[:, n])) if truth[:, n].any() else None,
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
            support=int(support),
            given=int(given[:, n].sum()),
        )
        for n, (label, precision, recall, f1, support) in enumerate(zip(labels, *columns, strict=True))
    )


def mean_average_precision(scores: Float32Array, truth: Truth) -> Statistic:
    """The mean over labels of the average precision of scores `[M, C]`, as a statistic.

    A label of no image in a draw does not count in it.
    """
    labels = [_ranked(scores[:, n], truth[:, n]) for n in range(truth.shape[1])]

    def statistic(weights: Float64Array) -> Float64Array:
        total, count = np.zeros(len(weights)), np.zeros(len(weights))
        for order, is_true, ends in labels:
            drawn = weights[:, order]
            hits = np.cumsum(drawn * is_true, axis=1)[:, ends]
            seen = np.cumsum(drawn, axis=1)[:, ends]
            found = hits[:, -1] > 0
            precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
            sums = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1)
            total += np.divide(sums, hits[:, -1], out=np.zeros_like(sums), where=found)
            count += found
        return _ratio(total, count)

    return statistic


def micro_f1(given: Truth, truth: Truth) -> Statistic:
    """F1 over all pairs of image and label, given and true `[M, C]`, as a statistic."""
    both, either = _counts(given, truth)
    return lambda weights: _ratio(weights @ both.sum(axis=1), weights @ either.sum(axis=1))


def macro_f1(given: Truth, truth: Truth) -> Statistic:
    """The mean over labels of F1, of those given and true `[M, C]`, as a statistic.

    A label that no image of a draw has or is given does not count in it.
    """
    both, either = _counts(given, truth)

    def statistic(weights: Float64Array) -> Float64Array:
        found = weights @ either
        return _ratio(_ratio(weights @ both, found).sum(axis=1), (found > 0).sum(axis=1))

    return statistic


def _counts(given: Truth, truth: Truth) -> tuple[Float64Array, Float64Array]:
    """For each pair of image and label twice the true positives, and the sum of positives: F1 is their ratio."""
    both: Float64Array = 2 * (given & truth).astype(np.float64)
    either: Float64Array = given.astype(np.float64) + truth.astype(np.float64)
    return both, either


def _ratio(part: Float64Array, whole: Float64Array | NDArray[np.intp]) -> Float64Array:
    """The ratio, and 0 where there is nothing."""
    ratio: Float64Array = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio


def _ranked(scores: Float32Array, truth: Truth) -> tuple[NDArray[np.intp], Float64Array, NDArray[np.intp]]:
    """The order of images by score, the best first, their truth in it, and the last places of equal scores."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return order, truth[order].astype(np.float64), ends
