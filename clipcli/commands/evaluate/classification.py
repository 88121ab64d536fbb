"""Classification metrics: top-1, top-5, mean per-class recall, calibration, likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.chunks import in_chunks
from clipcli.commands.evaluate.results import (
    CLASSIFICATION_METRICS,
    ClassMetrics,
    EvaluatedImages,
    IndexArray,
    Predictions,
    Run,
    join_predictions,
)
from clipcli.scoring.calibration import Calibration
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.intervals import Estimate, Statistic, bootstrap, mean_by_class, mean_of
from clipcli.scoring.reliability import calibration_error, correct_bias, reliability
from clipcli.scoring.score import best, choose_score, cosine_of, from_cosine, logits_of
from clipcli.scoring.softmax import log_softmax

# Classes that predictions keep of each image.
_TOP_K = 5


def predict_zero_shot(embeddings: NDArray[np.float32], truth: IndexArray, classifier: Classifier) -> Predictions:
    """Predict the classes of image embeddings `[M, D]` with a classifier, with its own kind of score.

    Classes are ranked by cosine similarity, or by calibrated logits: neither rounds to equal values, as probabilities
    near 0 and 1 do. The likelihood is that of a softmax at the model's logit scale, as it is calibrated, also for
    models whose score is a sigmoid.
    """
    kind = choose_score("auto", classifier)

    def predict(embeddings: NDArray[np.float32], truth: IndexArray) -> Predictions:
        cosine = cosine_of(embeddings, classifier)
        logits = logits_of(cosine.astype(np.float64), classifier)
        return predictions_from(
            ranking=cosine if classifier.calibration is None else logits,
            scores=from_cosine(cosine, classifier, kind=kind),
            log_probabilities=log_softmax(logits),
            truth=truth,
        )

    return predict_in_chunks(predict, embeddings, truth)


def predict_in_chunks(
    predict: Callable[[NDArray[np.float32], IndexArray], Predictions],
    embeddings: NDArray[np.float32],
    truth: IndexArray,
) -> Predictions:
    """Call `predict` with embeddings `[M, D]` and classes `[M]`, in chunks of images, and join the predictions."""
    return join_predictions([predict(embeddings[rows], truth[rows]) for rows in in_chunks(len(truth))])


def predictions_from(
    *,
    ranking: NDArray[np.floating],
    scores: NDArray[np.float32],
    log_probabilities: NDArray[np.float64],
    truth: IndexArray,
) -> Predictions:
    """Predictions from the values that rank the classes, their scores and their log-probabilities, each `[M, C]`."""
    top = best(ranking, _TOP_K)
    rows = np.arange(len(truth))
    return Predictions(
        best=top,
        scores=np.take_along_axis(scores, top, axis=1),
        truth=truth,
        truth_score=scores[rows, truth],
        loss=-log_probabilities[rows, truth],
    )


def evaluate_run(
    images: EvaluatedImages,
    predictions: Predictions,
    *,
    labels: Sequence[str],
    model: str,
    fingerprint: str,
    prompts: str,
    refined_on: int | None = None,
    calibration: Calibration | None = None,
) -> Run:
    """Compute all metrics of one model with one prompt set on one DATA."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted, indices = predictions.best[:, 0], np.arange(len(labels))
    columns = precision_recall_fscore_support(predictions.truth, predicted, labels=indices, zero_division=0)
    classes = tuple(
        ClassMetrics(label, float(precision), float(recall), float(f1), int(support))
        for label, precision, recall, f1, support in zip(labels, *columns, strict=True)
    )
    return Run(
        data=images.name,
        model=model,
        fingerprint=fingerprint,
        prompts=prompts,
        images=images,
        predictions=predictions,
        metrics=estimate_metrics(predictions, classes=len(labels), keys=images.keys),
        classes=classes,
        confusion=confusion_matrix(predictions.truth, predicted, labels=indices).astype(np.int64),
        bins=reliability(predictions.scores[:, 0], predictions.correct),
        refined_on=refined_on,
        calibration=calibration,
    )


def estimate_metrics(predictions: Predictions, *, classes: int, keys: Sequence[str]) -> dict[str, Estimate | None]:
    """The headline metrics with their intervals; `top5` is `None` if there are five classes or fewer.

    With one class, which is right whatever an image shows, all are `None`. Images are resampled in the order of their
    `keys`, so that runs on the same images see the same draws.
    """
    if classes == 1:
        return dict.fromkeys(CLASSIFICATION_METRICS)
    order = np.array(sorted(range(len(keys)), key=lambda n: keys[n]), dtype=np.intp)
    estimates = bootstrap(_statistics(predictions, classes=classes, order=order), count=len(order))
    estimates["ece"] = correct_bias(estimates["ece"], predictions.scores[order, 0])
    return {name: estimates.get(name) for name in CLASSIFICATION_METRICS}


def metric_values(predictions: Predictions, *, classes: int) -> dict[str, float]:
    """The headline metrics without intervals; `top5` is left out if there are five classes or fewer."""
    every_image_once = np.ones((1, len(predictions.truth)))
    statistics = _statistics(predictions, classes=classes, order=np.arange(len(predictions.truth)))
    return {name: float(statistic(every_image_once)[0]) for name, statistic in statistics.items()}


def _statistics(predictions: Predictions, *, classes: int, order: IndexArray) -> Mapping[str, Statistic]:
    """The headline metrics as statistics of the images in this order."""
    correct, truth = predictions.correct[order], predictions.truth[order]
    in_top_k = (predictions.best[order] == truth[:, None]).any(axis=1)
    statistics = {"top1": mean_of(correct)}
    if classes > _TOP_K:
        statistics["top5"] = mean_of(in_top_k)
    return statistics | {
        "mean_per_class_recall": mean_by_class(correct, truth),
        "ece": calibration_error(predictions.scores[order, 0], correct),
        "nll": mean_of(predictions.loss[order]),
    }
