"""How many labels are right: top-1, top-5, mean per-class recall, calibration, likelihood, each class by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.calibration import calibration_error, reliability, without_bias
from clipcli.commands.evaluate.intervals import Estimate, Statistic, estimates, mean_by_class, mean_of
from clipcli.commands.evaluate.results import Answers, ClassFigures, EvaluatedImages, Places, Run, joined
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.score import best, cosine_of, from_cosine

_SHOWN = 5
# So many images are scored at once, as their scores for thousands of classes take much room.
_ROWS = 1024


def zero_shot(embeddings: NDArray[np.float32], truth: Places, classifier: Classifier) -> Answers:
    """The answers of a classifier on image embeddings `[M, D]`, with the model's own kind of score.

    Classes are ranked by their similarity, which does not round to equal values as probabilities near 0 and 1 do. The
    likelihood is that of a softmax at the model's logit scale, also where its score is a sigmoid.
    """

    def answer(embeddings: NDArray[np.float32], truth: Places) -> Answers:
        cosine = cosine_of(embeddings, classifier)
        return answers(
            order=cosine,
            scores=from_cosine(cosine, classifier, kind=classifier.score),
            log_probabilities=log_softmax(cosine.astype(np.float64) * classifier.logit_scale),
            truth=truth,
        )

    return in_pieces(answer, embeddings, truth)


def in_pieces(
    answer: Callable[[NDArray[np.float32], Places], Answers], embeddings: NDArray[np.float32], truth: Places
) -> Answers:
    """What `answer` gives on image embeddings `[M, D]` and their classes `[M]`, some rows at a time."""
    starts = range(0, len(truth), _ROWS)
    return joined([answer(embeddings[start : start + _ROWS], truth[start : start + _ROWS]) for start in starts])


def answers(
    *,
    order: NDArray[np.floating],
    scores: NDArray[np.float32],
    log_probabilities: NDArray[np.float64],
    truth: Places,
) -> Answers:
    """Answers from what ranks the classes, their scores and their log-likelihoods, each `[M, C]`."""
    chosen = best(order, _SHOWN)
    rows = np.arange(len(truth))
    return Answers(
        best=chosen,
        scores=np.take_along_axis(scores, chosen, axis=1),
        truth=truth,
        truth_score=scores[rows, truth],
        loss=-log_probabilities[rows, truth],
    )


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of a softmax over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logarithms: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logarithms


def measured(answers: Answers, *, classes: int, keys: Sequence[str]) -> dict[str, Estimate | None]:
    """The headline figures with their intervals; `top5` is `None` where there are no more than five classes.

    The images are resampled in the order of their keys, so that runs on the same images see the same draws.
    """
    order = np.array(sorted(range(len(keys)), key=lambda n: keys[n]), dtype=np.intp)
    found = estimates(_statistics(answers, classes=classes, order=order), count=len(order))
    found["ece"] = without_bias(found["ece"], answers.scores[order, 0])
    return {name: found.get(name) for name in ("top1", "top5", "mean_per_class_recall", "ece", "nll")}


def values_of(answers: Answers, *, classes: int) -> dict[str, float]:
    """The headline figures alone."""
    once = np.ones((1, len(answers.truth)))
    statistics = _statistics(answers, classes=classes, order=np.arange(len(answers.truth)))
    return {name: float(statistic(once)[0]) for name, statistic in statistics.items()}


def _statistics(answers: Answers, *, classes: int, order: Places) -> Mapping[str, Statistic]:
    right, truth = answers.right[order], answers.truth[order]
    among_best = (answers.best[order] == truth[:, None]).any(axis=1)
    statistics = {"top1": mean_of(right)}
    if classes > _SHOWN:
        statistics["top5"] = mean_of(among_best)
    return statistics | {
        "mean_per_class_recall": mean_by_class(right, truth),
        "ece": calibration_error(answers.scores[order, 0], right),
        "nll": mean_of(answers.loss[order]),
    }


def evaluated(
    images: EvaluatedImages, answers: Answers, *, labels: Sequence[str], model: str, fingerprint: str, prompts: str
) -> Run:
    """All that is to be said about one run."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    told, indices = answers.best[:, 0], np.arange(len(labels))
    columns = precision_recall_fscore_support(answers.truth, told, labels=indices, zero_division=0)
    classes = tuple(
        ClassFigures(label, float(precision), float(recall), float(f1), int(support))
        for label, precision, recall, f1, support in zip(labels, *columns, strict=True)
    )
    return Run(
        data=images.name,
        model=model,
        fingerprint=fingerprint,
        prompts=prompts,
        images=images,
        answers=answers,
        metrics=measured(answers, classes=len(labels), keys=images.keys),
        classes=classes,
        confusion=confusion_matrix(answers.truth, told, labels=indices).astype(np.int64),
        bins=reliability(answers.scores[:, 0], answers.right),
    )
