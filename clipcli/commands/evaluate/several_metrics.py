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
from clipcli.scoring.f1 import Truth, macro_f1, micro_f1, ratio
from clipcli.scoring.intervals import Estimate, Float64Array, Statistic, bootstrap


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
        return ratio(total, count)

    return statistic


def _ranked(scores: Float32Array, truth: Truth) -> tuple[NDArray[np.intp], Float64Array, NDArray[np.intp]]:
    """The order of images by score, the best first, their truth in it, and the last places of equal scores."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return order, truth[order].astype(np.float64), ends
