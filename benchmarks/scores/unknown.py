"""How well images of none of the classes are told: of Caltech-101's background, and of classes that are not listed.

`main` prints the tables of docs/scores.md, `picture` draws the two histograms. The constants of
`clipcli.scoring.unknown` are fitted on the training photos of Caltech-101 alone, by `fitted`. Which method it is was
chosen on draws of these beds, so that its lead over its neighbours, of a point or less, is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import beds
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score, roc_curve

import clipcli
from clipcli.classes.vocabulary import vocabulary
from clipcli.data.columns import Columns
from clipcli.data.labelled import labelled_of, read_labelled
from clipcli.data.tree import Data
from clipcli.notices import Notices
from clipcli.scoring.competitors import competitors
from clipcli.scoring.score import cosine_of
from clipcli.scoring.unknown import default_threshold, learned_threshold, match, unknown_scores

DRAWS = 20
TRAINING = "caltech101.zip/train"
# How many of the classes are listed, by bed; a draw takes the next.
LISTED = {"caltech-101": (10, 15, 30, 50), "clothing": (3, 5, 7), "tiny-imagenet": (10, 20, 50, 100)}
# Images of each kind in a draw, and classes of a bed that are listed alone.
_MOST, _ALONE = 200, 25
# Images of the classes, and of none, that teach a threshold.
_TAUGHT_BY = ((20, 5), (50, 10), (50, 50))
_LISTED_FOR_FIT = (1, 2, 3, 5, 8, 15, 30, 60)
Scores = NDArray[np.floating]
Method = Callable[[NDArray[np.float32], clipcli.Classifier], Scores]


@dataclass(frozen=True, slots=True)
class Draw:
    """Images of the listed classes `[N, D]` and of none of them `[M, D]`, and a classifier of these classes."""

    bed: str
    known: NDArray[np.float32]
    unknown: NDArray[np.float32]
    classifier: clipcli.Classifier


@cache
def words() -> NDArray[np.float32]:
    """The class embeddings of the vocabulary."""
    return clipcli.build_classifier(vocabulary(), model=beds.MODEL).class_embeddings


def listing(classifier: clipcli.Classifier, classes: Sequence[int] | NDArray[np.intp]) -> clipcli.Classifier:
    """A classifier of some of the classes, with the words that compete with them."""
    labels = tuple(classifier.labels[n] for n in classes)
    embeddings = classifier.class_embeddings[list(classes)]
    kept = competitors(vocabulary(), words(), names=labels, class_embeddings=embeddings)
    return replace(classifier, class_embeddings=embeddings, labels=labels, vocabulary=words()[kept])


def background() -> Draw:
    """The photos of Caltech-101's 101 classes, and those of none of them."""
    bed = beds.bed("caltech-101")
    everything = listing(bed.classifier, range(len(bed.classifier.labels)))
    return Draw("background", bed.embeddings, beds.embedded(beds.BACKGROUND), everything)


def draws(bed: beds.Bed, counts: Sequence[int], *, seeds: Sequence[int], most: int = _MOST) -> Iterator[Draw]:
    """Draws of listed classes, as many as the next of `counts`; at most so many images of both kinds."""
    classes = len(bed.classifier.labels)
    for n, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        listed = rng.permutation(classes)[: counts[n % len(counts)]]
        is_known = np.isin(bed.truth, listed)
        known, unknown = (rng.permutation(np.flatnonzero(mask))[:most] for mask in (is_known, ~is_known))
        yield Draw(bed.name, bed.embeddings[known], bed.embeddings[unknown], listing(bed.classifier, listed))


def alone(bed: beds.Bed, classes: Sequence[int] | NDArray[np.intp]) -> Iterator[Draw]:
    """Each of these classes alone, with some of the images of the others."""
    for n in classes:
        others = np.random.default_rng(n).permutation(np.flatnonzero(bed.truth != n))[:_MOST]
        known = bed.embeddings[bed.truth == n][:_MOST]
        yield Draw(bed.name, known, bed.embeddings[others], listing(bed.classifier, [n]))


def _some(bed: beds.Bed) -> NDArray[np.intp]:
    return np.random.default_rng(0).permutation(len(bed.classifier.labels))[:_ALONE]


def _softmax(embeddings: NDArray[np.float32], classifier: clipcli.Classifier, *, scale: float | None = None) -> Scores:
    logits = cosine_of(embeddings, classifier) * (scale or classifier.logit_scale)
    logits -= logits.max(axis=1, keepdims=True)
    return np.asarray(-1 / np.exp(logits).sum(axis=1))


def _energy(embeddings: NDArray[np.float32], classifier: clipcli.Classifier) -> Scores:
    return np.asarray(-np.log(np.exp(cosine_of(embeddings, classifier) * classifier.logit_scale).sum(axis=1)))


def _neg_label(embeddings: NDArray[np.float32], classifier: clipcli.Classifier) -> Scores:
    return _energy(embeddings, classifier) - _energy(embeddings, _with_words(classifier))


def _best_standardised(embeddings: NDArray[np.float32], classifier: clipcli.Classifier) -> Scores:
    cosines = embeddings @ _vocabulary(classifier).T
    best = cosine_of(embeddings, classifier).max(axis=1)
    return np.asarray(-(best - cosines.mean(axis=1)) / cosines.std(axis=1))


def _vocabulary(classifier: clipcli.Classifier) -> NDArray[np.float32]:
    return classifier.class_embeddings[:0] if classifier.vocabulary is None else classifier.vocabulary


def _with_words(classifier: clipcli.Classifier) -> clipcli.Classifier:
    return replace(classifier, class_embeddings=np.concatenate([classifier.class_embeddings, _vocabulary(classifier)]))


# A higher score is surer that an image is unknown.
METHODS: dict[str, Method] = {
    "max softmax": _softmax,
    "max softmax at a scale of 10 (MCM)": lambda e, c: _softmax(e, c, scale=10.0),
    "best cosine": lambda e, c: -cosine_of(e, c).max(axis=1),
    "energy": _energy,
    "best cosine, standardised over the words": _best_standardised,
    "share left by the words (NegLabel)": _neg_label,
    "clipcli": unknown_scores,
}


def auroc(method: Method, draw: Draw) -> float:
    """The AUROC of a method."""
    scores = [method(images, draw.classifier) for images in (draw.unknown, draw.known)]
    truth = np.arange(sum(map(len, scores))) < len(draw.unknown)
    return float(roc_auc_score(truth, np.concatenate(scores)))


def at_default(draw: Draw) -> tuple[float, float, float]:
    """The shares of known images lost and of unknown ones found by default, and the FPR at 95 % TPR."""
    known, unknown = (unknown_scores(images, draw.classifier) for images in (draw.known, draw.unknown))
    at = default_threshold(draw.classifier)
    false, true, _ = roc_curve(np.arange(len(known) + len(unknown)) < len(known), -np.concatenate([known, unknown]))
    return float((known >= at).mean()), float((unknown >= at).mean()), float(false[np.searchsorted(true, 0.95 - 1e-9)])


def by_learned_threshold(draw: Draw, *, known: int, nones: int, seed: int) -> tuple[float, float]:
    """As the first two of `at_default`, by the threshold that some of the images teach, of the others."""
    rng = np.random.default_rng(seed)
    of_classes, of_none = (
        rng.permutation(unknown_scores(images, draw.classifier)) for images in (draw.known, draw.unknown)
    )
    first, second = min(known, len(of_classes) // 2), min(nones, len(of_none) // 2)
    default = default_threshold(draw.classifier)
    at = learned_threshold(of_none[:second], of_classes[:first], default=default)
    return float((of_classes[first:] >= at).mean()), float((of_none[second:] >= at).mean())


def fitted() -> tuple[float, float]:
    """The match at which both kinds of image are as likely, and the slope there, of Caltech-101's training photos."""
    data = read_labelled(Data(str(beds.SHARED / TRAINING), Notices()), Columns(None, None, None))
    names = [labelled.name for labelled in labelled_of(data)]
    classifier = beds.bed("caltech-101").classifier
    order = sorted(set(names))
    bed = beds.Bed(TRAINING, beds.embedded(TRAINING), np.array([order.index(name) for name in names]), classifier)
    matches = [
        [match(images @ draw.classifier.class_embeddings.T.astype(np.float64), images @ _vocabulary(draw.classifier).T)
         for images in (draw.known.astype(np.float64), draw.unknown.astype(np.float64))]
        for draw in draws(bed, _LISTED_FOR_FIT, seeds=range(1000, 1048), most=300)
    ]  # fmt: skip

    def loss(values: NDArray[np.float64]) -> float:
        even, slope = values
        each = [
            np.logaddexp(0, -slope * (known - even)).mean() + np.logaddexp(0, slope * (unknown - even)).mean()
            for known, unknown in matches
        ]
        return float(np.mean(each))

    even, slope = minimize(loss, [1.0, 0.7], method="Nelder-Mead").x
    return float(even), float(slope)


def main() -> None:
    """Print all tables in Markdown."""
    even, slope = fitted()
    print(f"Fitted on {TRAINING}: as likely at a match of {even:.2f}, slope {slope:.2f}.\n")
    found = {"background": [background()]}
    found |= {name: list(draws(beds.bed(name), counts, seeds=range(DRAWS))) for name, counts in LISTED.items()}
    print(f"| AUROC | {' | '.join(found)} | mean of the last three |\n|---|{'---|' * (len(found) + 1)}")
    for name, method in METHODS.items():
        means = [float(np.mean([auroc(method, draw) for draw in some])) for some in found.values()]
        print(f"| {name} | {' | '.join(f'{mean:.3f}' for mean in [*means, float(np.mean(means[1:]))])} |", flush=True)
    found |= {f"one class of {name}": list(alone(beds.bed(name), _some(beds.bed(name)))) for name in LISTED}
    print("\n| by default | AUROC | FPR at 95 % TPR | known lost | unknown found |\n|---|---|---|---|---|")
    for name, some in found.items():
        lost, caught, false = np.mean([at_default(draw) for draw in some], axis=0)
        area = np.mean([auroc(unknown_scores, draw) for draw in some])
        print(f"| {name} | {area:.3f} | {false:.1%} | {lost:.1%} | {caught:.1%} |", flush=True)

    heads = "".join(f" by {known} and {nones} |" for known, nones in _TAUGHT_BY)
    print(f"\n| known lost, unknown found | by default |{heads}\n|---|---|{'---|' * len(_TAUGHT_BY)}")
    for name in ("background", *LISTED):
        pairs = [np.mean([at_default(draw)[:2] for draw in found[name]], axis=0)]
        for known, nones in _TAUGHT_BY:
            taught = [
                by_learned_threshold(draw, known=known, nones=nones, seed=seed)
                for draw in found[name]
                for seed in range(DRAWS if name == "background" else 1)
            ]
            pairs.append(np.mean(taught, axis=0))
        print(f"| {name} | {' | '.join(f'{lost:.0%}, {caught:.0%}' for lost, caught in pairs)} |", flush=True)


def picture(folder: Path) -> None:
    """Draw the scores of images of the classes and of none of them, for the background and for one class alone."""
    import matplotlib.pyplot as plt

    bed = beds.bed("tiny-imagenet")
    [draw] = alone(bed, [bed.classifier.labels.index("school bus")])
    titles = {"101 classes listed (Caltech-101)": background(), "Is it a school bus? (Tiny-ImageNet)": draw}
    figure, both = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for axes, (title, one) in zip(both, titles.items(), strict=True):
        for images, label, colour in ((one.known, "of the classes", "#2a7"), (one.unknown, "of none", "#c52")):
            scores = unknown_scores(images, one.classifier)
            weights = np.full(len(scores), 100 / len(scores))
            axes.hist(scores, bins=np.linspace(0, 1, 26), weights=weights, alpha=0.55, label=label, color=colour)
        axes.axvline(default_threshold(one.classifier), color="#555", linestyle="--", linewidth=1)
        axes.set(title=title, xlabel="score of unknown", ylabel="% of these images", xlim=(0, 1))
        axes.legend(frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "unknown.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
