"""How well several labels an image are told without labelled images: ways to score and to set a threshold, compared.

    python benchmarks/scores/several.py

The beds are those of `several_beds.py`. A method with a threshold is measured at the threshold that is best on the
other beds, so that none is tuned on what it is measured on. The form of `--multi-label`'s score and its constants were
chosen on these beds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np
from beds import BACKGROUND, embedded
from numpy.typing import NDArray
from several_beds import Several, all_beds
from sklearn.metrics import average_precision_score

from clipcli.scoring.reliability import calibration_error
from clipcli.scoring.score import cosine_of
from clipcli.scoring.several import log_odds, several_scores, threshold_of
from clipcli.scoring.several_calibration import calibrate_several

Float = NDArray[np.float64]
# Thresholds that are tried: quantiles of all scores of a method.
TRIED = 50
# Numbers of labelled images to calibrate with, and the one whose calibration error is shown.
LABELLED, SHOWN = (20, 50, 200), 50


def softmax(logits: Float) -> Float:
    """The softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Float = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def of_nouns(one: Several) -> Float:
    """The cosines `[N, V]` of the images to the nouns."""
    found: Float = one.embeddings.astype(np.float64) @ one.nouns.T.astype(np.float64)
    return found


def deviations(one: Several) -> Float:
    """How many standard deviations a label's cosine is above the mean noun's."""
    nouns = of_nouns(one)
    found: Float = (cosines(one) - nouns.mean(axis=1, keepdims=True)) / nouns.std(axis=1, keepdims=True)
    return found


def quantile(one: Several) -> Float:
    """The share of the nouns whose cosine to the image is lower than the label's."""
    nouns = np.sort(of_nouns(one), axis=1)
    below = np.stack([np.searchsorted(*pair) for pair in zip(nouns, cosines(one), strict=True)])
    found: Float = below / nouns.shape[1]
    return found


def over_the_run(one: Several) -> Float:
    """A label's cosines, standardised over the images of the run."""
    found: Float = (cosines(one) - cosines(one).mean(axis=0)) / cosines(one).std(axis=0)
    return found


def otsu(one: Several) -> Float:
    """How far a label's cosine is above the threshold that splits its cosines over the run best (Otsu 1979)."""
    columns = []
    for column in cosines(one).T:
        ordered = np.sort(column)
        n = np.arange(1, len(ordered))
        low = np.cumsum(ordered)[:-1] / n
        high = (ordered.sum() - np.cumsum(ordered)[:-1]) / (len(ordered) - n)
        split = int((n * (len(ordered) - n) * (high - low) ** 2).argmax())
        columns.append((column - ordered[split : split + 2].mean()) / column.std())
    return np.stack(columns, axis=1)


def mixture(one: Several) -> Float:
    """The probability of the upper of two normal distributions of a label's cosines over the run."""
    from sklearn.mixture import GaussianMixture

    columns = []
    for column in cosines(one).T[:, :, None]:
        found = GaussianMixture(2, means_init=np.quantile(column, [0.25, 0.98])[:, None], random_state=0).fit(column)
        columns.append(found.predict_proba(column)[:, found.means_.argmax()])
    return np.stack(columns, axis=1)


def nearest_nouns(one: Several) -> Float:
    """The logarithm of a label's odds against the other labels and the 20 nearest nouns, which count as 5 labels."""
    scale = one.classifier.logit_scale
    near = np.exp(scale * np.sort(of_nouns(one), axis=1)[:, -20:])
    powers = np.exp(scale * cosines(one))
    others = powers.sum(axis=1, keepdims=True) - powers + 5 * near.mean(axis=1, keepdims=True)
    found: Float = np.log(powers / others)
    return found


def cosines(one: Several) -> Float:
    """The cosines `[N, C]` of the images to the labels."""
    return cosine_of(one.embeddings, one.classifier).astype(np.float64)


def ours(one: Several, *, share: float = 0.0) -> Float:
    """The scores of `classify --multi-label`; with a `share` of the run's mean embedding taken off each image."""
    common = share * one.embeddings.mean(axis=0, dtype=np.float64)
    scores = several_scores(one.embeddings - common, replace(one.classifier, vocabulary=one.nouns))
    return scores.astype(np.float64)


def best_labels(one: Several, *, count: int) -> Float:
    """Above 0 for the labels with the highest cosines."""
    ranks = np.argsort(np.argsort(-cosines(one), axis=1, kind="stable"), axis=1)
    return (count - 0.5 - ranks).astype(np.float64)


# By name: the scores, and the threshold if it is not the best on the other beds.
METHODS: dict[str, tuple[Callable[[Several], Float], float | None]] = {
    **{f"the best {k}": (partial(best_labels, count=k), 0.0) for k in (1, 2, 3)},
    "softmax from 0.1": (lambda one: softmax(one.classifier.logit_scale * cosines(one)), 0.1),
    "softmax": (lambda one: softmax(one.classifier.logit_scale * cosines(one)), None),
    "cosine": (cosines, None),
    "deviations above the mean noun": (deviations, None),
    "share of nouns that are lower": (quantile, None),
    "standardised over the run, by label": (over_the_run, None),
    "Otsu's threshold, by label": (otsu, 0.0),
    "mixture of two normals, by label": (mixture, 0.5),
    "other labels and the 20 nearest nouns": (nearest_nouns, None),
    "as `--multi-label`, half of the run's mean off": (partial(ours, share=0.5), None),
    "as `--multi-label`, threshold of other beds": (ours, None),
    "**`--multi-label`**": (ours, 0.5),
}


@cache
def scores_of(method: str) -> list[Float]:
    """The scores of a method on each bed."""
    return [METHODS[method][0](one) for one in all_beds()]


def f1(truth: NDArray[np.bool_], given: NDArray[np.bool_]) -> tuple[float, float]:
    """F1 micro and macro; labels of no image do not count in the latter."""
    both, either = 2 * (truth & given).sum(axis=0), truth.sum(axis=0) + given.sum(axis=0)
    known = truth.any(axis=0)
    return float(both.sum() / either.sum()), float((both[known] / either[known]).mean())


@cache
def thresholds(method: str) -> list[float]:
    """The threshold of a method for each bed: its own, or the one that is best on average over the other beds."""
    scores, given = scores_of(method), METHODS[method][1]
    if given is not None:
        return [given] * len(scores)
    pooled = np.concatenate([some.ravel() for some in scores])
    tried = np.quantile(pooled, 1 - np.geomspace(0.001, 0.3, TRIED))
    pairs = list(zip(all_beds(), scores, strict=True))
    reached = np.array([[sum(f1(one.truth, some >= at)) for one, some in pairs] for at in tried])
    return [float(tried[np.delete(reached, n, axis=1).mean(axis=1).argmax()]) for n in range(len(scores))]


@cache
def reached(method: str) -> Float:
    """F1 micro, F1 macro and mAP of a method on each bed, `[B, 3]`."""
    rows = []
    for one, scores, at in zip(all_beds(), scores_of(method), thresholds(method), strict=True):
        known = one.truth.any(axis=0)
        precision = average_precision_score(one.truth[:, known], scores[:, known], average="macro")
        rows.append((*f1(one.truth, scores >= at), precision))
    return np.array(rows)


def table_of_methods() -> None:
    """The mean over the beds, by method."""
    print(f"| mean over {len(all_beds())} beds | threshold | F1 micro | F1 macro | mAP |\n|---|---|---|---|---|")
    for method in METHODS:
        at = sorted(set(thresholds(method)))
        shown = f"{at[0]:.3g}" if len(at) == 1 else f"{at[0]:.3g} to {at[-1]:.3g}"
        micro, macro, precision = reached(method).mean(axis=0)
        ranks = "–" if method.startswith("the best") else f"{precision:.3f}"
        print(f"| {method} | {'–' if method.startswith('the best') else shown} | {micro:.3f} | {macro:.3f} | {ranks} |")


def table_of_beds() -> None:
    """F1 micro and the labels an image, by bed."""
    methods = ("the best 1", "the best 2", "softmax from 0.1", "cosine", "**`--multi-label`**")
    print(f"| F1 micro | labels | {' | '.join(methods)} | labels an image | given |")
    print("|---" * (len(methods) + 4) + "|")
    for n, (one, scores) in enumerate(zip(all_beds(), scores_of(methods[-1]), strict=True)):
        cells = [f"{reached(method)[n, 0]:.3f}" for method in methods]
        counts = f"{one.truth.sum(axis=1).mean():.2f} | {(scores >= 0.5).sum(axis=1).mean():.2f}"
        print(f"| {one.name} | {one.truth.shape[1]} | {' | '.join(cells)} | {counts} |")


def table_of_thresholds() -> None:
    """What another `--multi-label-at` gives, over all labels of all beds; and on images of no label."""
    caltech = next(one for one in all_beds() if one.name == "caltech-101, one label")
    background = several_scores(embedded(BACKGROUND), replace(caltech.classifier, vocabulary=caltech.nouns))
    print("| `--multi-label-at` | precision | recall | F1 micro | images of none of 101 labels left without |")
    print("|---|---|---|---|---|")
    for at in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        found = []
        for one, scores in zip(all_beds(), scores_of("**`--multi-label`**"), strict=True):
            given = scores >= at
            right = (given & one.truth).sum()
            found.append((right / given.sum(), right / one.truth.sum(), f1(one.truth, given)[0]))
        none = float((background < at).all(axis=1).mean())
        print(f"| {at} | {' | '.join(f'{value:.3f}' for value in np.mean(found, axis=0))} | {none:.1%} |")


def table_of_calibration(*, draws: int = 5) -> None:
    """F1 micro on the other images, plain and calibrated with some labelled ones, and the calibration error of both."""
    print(
        f"| F1 micro, mean of {draws} draws | plain | {' | '.join(f'{n} labelled' for n in LABELLED)} | worst | ECE |"
    )
    print("|---" * (len(LABELLED) + 4) + "|")
    for one in all_beds():
        cells, worst = [], 0.0
        errors: list[tuple[float, float]] = []
        for count in LABELLED:
            found = [_calibrated(one, count, seed=seed) for seed in range(draws) if count + 100 <= len(one.truth)]
            cells.append(f"{np.mean([after for _, after, _ in found]):.3f}" if found else "")
            worst = min([worst, *(after - before for before, after, _ in found)])
            errors = [error for *_, error in found] if count == SHOWN else errors
        plain = f1(one.truth, ours(one) >= 0.5)[0]
        error = " to ".join(f"{value:.1%}" for value in np.mean(errors, axis=0))
        print(f"| {one.name} | {plain:.3f} | {' | '.join(cells)} | {worst:+.3f} | {error} |", flush=True)


def _calibrated(one: Several, count: int, *, seed: int) -> tuple[float, float, tuple[float, float]]:
    """F1 micro on the images that are not among the labelled, plain and calibrated, and the errors of both scores."""
    order = np.random.default_rng(seed).permutation(len(one.truth))
    labelled, others = order[:count], order[count:]
    plain = replace(one.classifier, vocabulary=one.nouns)
    calibration = calibrate_several(log_odds(one.embeddings[labelled], plain), one.truth[labelled])
    made, truth, images = replace(plain, several=calibration), one.truth[others], one.embeddings[others]
    scores = [several_scores(images, classifier) for classifier in (plain, made)]
    before, after = (f1(truth, each >= threshold_of(by))[0] for each, by in zip(scores, (plain, made), strict=True))
    every = np.ones((1, truth.size))
    errors = [float(calibration_error(each.ravel(), truth.ravel())(every)[0]) for each in scores]
    return before, after, (errors[0], errors[1])


def main() -> None:
    """Print the tables."""
    for table in (table_of_methods, table_of_beds, table_of_thresholds, table_of_calibration):
        table()
        print()


if __name__ == "__main__":
    main()
