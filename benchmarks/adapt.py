"""What `clipcli adapt` gives beside other few-shot methods: the tables of docs/adapt.md.

Run: python benchmarks/adapt.py [BED …]. Three draws, of seeds 0 to 2: 1, 2, 4, 8 and 16 images a class, and corrections
of some classes only. The numbers of `clipcli/scoring/adapt.py` were chosen on draws of the seeds from 100 on: of the
training images of clothing and Caltech-101, half for drawing and half for testing, and of 12 images a class of the
validation images of Tiny-ImageNet, whose other 13 are tested on here. The digits were not looked at when they were
chosen. What `adapt` is given as images without labels, in the column `with images`, are up to 1,000 of the images that
are tested on: as a person has who corrects a few photos of a folder. Set OMP_NUM_THREADS=1 for times of one core.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent / "scores"))
import beds

import clipcli
from clipcli.data.columns import Columns
from clipcli.data.labelled import labelled_of, read_labelled
from clipcli.data.tree import Data
from clipcli.notices import Notices
from clipcli.scoring.adapt import adapted

Array = NDArray[np.float64]
Places = NDArray[np.intp]
# Logits `[M, C]` of test images by the drawn images, their classes and the classifier.
Method = Callable[[Array, Places, clipcli.Classifier, Array], Array]
SHOTS, DRAWS = (1, 2, 4, 8, 16), 3
# Images a class of a folder for both, that are drawn first and not tested on.
_FIRST = 12
# Images drawn from, and images tested on: the same folder is split in each draw.
FOLDERS: dict[str, tuple[str, str | None]] = {
    "clothing": ("clothing.zip/train", "clothing.zip/validation"),
    "tiny-imagenet": ("tiny-imagenet.zip/val", None),
    "caltech-101": ("caltech101.zip/train", "caltech101.zip/val"),
}
DIGITS = "digits"
_DIGITS = 600


def zero_shot(_: Array, __: Places, classifier: clipcli.Classifier, test: Array) -> Array:
    """The text alone."""
    logits: Array = classifier.logit_scale * test @ classifier.class_embeddings.T.astype(float)
    return logits


def adapt(images: Array, truth: Places, classifier: clipcli.Classifier, test: Array) -> Array:
    """`clipcli adapt`."""
    return adapted(images.astype(np.float32), truth, classifier)[0].logits(test)


def adapt_with_images(images: Array, truth: Places, classifier: clipcli.Classifier, test: Array) -> Array:
    """`clipcli adapt --images`: the tested images, up to 1,000 of them, without their classes."""
    taken = np.random.default_rng(0).permutation(len(test))[:1000]
    others = test[taken].astype(np.float32)
    return adapted(images.astype(np.float32), truth, classifier, others=others)[0].logits(test)


def probe(images: Array, truth: Places, _: clipcli.Classifier, test: Array) -> Array:
    """scikit-learn's logistic regression, with C = 10."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits: Array = LogisticRegression(C=10, max_iter=1000).fit(images, truth).decision_function(test)
        return logits


def tip_adapter(images: Array, truth: Places, classifier: clipcli.Classifier, test: Array) -> Array:
    """Tip-Adapter (Zhang et al. 2022), training-free, with its alpha of 1 and beta of 5.5. It is not linear."""
    near = np.exp(5.5 * (test @ images.T - 1))
    return zero_shot(images, truth, classifier, test) + near @ np.eye(len(classifier.labels))[truth]


def discriminant(images: Array, truth: Places, classifier: clipcli.Classifier, test: Array) -> Array:
    """The Gaussian discriminant of Wang et al. (2024) with the text, and an alpha of 1."""
    count, dimensions = images.shape
    centres = np.array([images[truth == n].mean(axis=0) for n in range(len(classifier.labels))])
    within = images - centres[truth] if count > len(centres) else images - images.mean(axis=0)
    scatter = within.T @ within
    freedom = count - len(centres) if count > len(centres) else count - 1
    inverse = dimensions * np.linalg.inv(scatter + np.trace(scatter) / freedom * np.eye(dimensions))
    weights = centres @ inverse
    biases = -0.5 * (weights * centres).sum(axis=1)
    logits: Array = zero_shot(images, truth, classifier, test) + test @ weights.T + biases
    return logits


def clap(images: Array, truth: Places, classifier: clipcli.Classifier, test: Array) -> Array:
    """CLAP (Silva-Rodríguez et al. 2024): each class is held to its text by its zero-shot probability."""
    images, texts = images.astype(np.float32), classifier.class_embeddings
    own = np.eye(len(texts), dtype=np.float32)[truth]
    shares = _softmax(classifier.logit_scale * images @ texts.T)
    hold = (shares * own).sum(axis=0) / np.maximum(own.sum(axis=0), 1)
    weights, speed = texts.astype(float), np.zeros(texts.shape)
    for step in range(300):
        errors = _softmax(classifier.logit_scale * images @ weights.T) - own
        gradient = classifier.logit_scale * errors.T @ images / len(images)
        gradient += 2 * hold[:, None] * (weights - texts) / len(texts)
        speed = 0.9 * speed + gradient
        weights = weights - 0.1 * 0.5 * (1 + np.cos(np.pi * step / 300)) * speed
    logits: Array = test @ weights.T
    return logits


def lp_plus_plus(images: Array, truth: Places, classifier: clipcli.Classifier, test: Array) -> Array:
    """LP++ (Huang et al. 2024): a probe and a weight of the text for each class, from class means on.

    The steps are the inverse of the bounds on the curvature that the paper derives, none is searched for: 300 of the
    weights, and after every tenth one of the weights of the text. Those begin at their mean by the paper's formula, in
    which the 250 is for a logit scale of 100.
    """
    # In single precision, which is twice as fast.
    images, texts, count = images.astype(np.float32), classifier.class_embeddings, len(images)
    own = np.eye(len(texts), dtype=np.float32)[truth]
    present = np.maximum(own.sum(axis=0), 1)
    weights = own.T @ images / present[:, None]
    similar = images @ texts.T
    factor = 2.5 * classifier.logit_scale
    alpha = np.full(len(texts), factor * float((weights * texts).sum(axis=1).mean()), np.float32)
    step = np.float32(4 * count / np.linalg.eigvalsh(images.T @ images)[-1])
    step_of_alpha = np.float32(count / (4 * (similar**2).sum(axis=0).max()))
    for n in range(1, 301):
        errors = (_softmax(images @ weights.T + alpha * similar) - own) / count
        weights = weights - step * errors.T @ images
        if n % 10 == 0:
            alpha = alpha - step_of_alpha * (errors * similar).sum(axis=0)
    logits: Array = test @ weights.T + alpha * (test @ texts.T)
    return logits


METHODS: dict[str, Method] = {
    "zero-shot": zero_shot,
    "adapt": adapt,
    "with images": adapt_with_images,
    "scikit-learn": probe,
    "Tip-Adapter": tip_adapter,
    "GDA": discriminant,
    "CLAP": clap,
    "LP++": lp_plus_plus,
}


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _digits() -> tuple[clipcli.Classifier, tuple[Array, Places], None]:
    """Handwritten digits that scikit-learn brings, 8 × 8 pixels, as images."""
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    classifier = clipcli.build_classifier([f"the digit {word}" for word in words], model=beds.MODEL)
    data = load_digits()
    large = np.kron(255 - data.images[:_DIGITS] * 255 / 16, np.ones((1, 8, 8))).astype(np.uint8)
    return classifier, (beds.model().embed_images(list(large)).astype(float), data.target[:_DIGITS]), None


def _bed(name: str) -> tuple[clipcli.Classifier, tuple[Array, Places], tuple[Array, Places] | None]:
    """The classifier, the images to draw from, and those to test on, if they are others."""
    if name == DIGITS:
        return _digits()
    classifier = beds.bed(name).classifier
    drawn, test = FOLDERS[name]
    return classifier, _labelled(drawn), None if test is None else _labelled(test)


def _labelled(folder: str) -> tuple[Array, Places]:
    data = read_labelled(Data(str(beds.SHARED / folder), Notices()), Columns(None, None, None))
    labels = [labelled.name for labelled in labelled_of(data)]
    return beds.embedded(folder).astype(float), np.searchsorted(sorted(set(labels)), labels)


def _balanced(order: Places, truth: Places, shots: int) -> Places:
    return np.concatenate([order[truth[order] == label][:shots] for label in range(truth.max() + 1)])


def _some(order: Places, truth: Places, doubts: Array) -> dict[str, Places]:
    """Draws that leave some classes out, or have more of some than of others."""
    labels = np.unique(truth)
    fifth = np.random.default_rng(int(order[0])).permutation(labels)[: max(1, len(labels) // 5)]
    some = order[: len(order) // 2]
    doubtful = some[np.argsort(-doubts[some], kind="stable")]
    of_fifth = [order[truth[order] == label] for label in fifth]
    return {
        "4 images of each of a fifth of the labels": np.concatenate([own[:4] for own in of_fifth]),
        "1 image of each of a fifth of the labels": np.concatenate([own[:1] for own in of_fifth]),
        "100 at random": order[:100],
        "the 100 most doubtful of half the images": doubtful[:100],
        "the 200 most doubtful of half the images": doubtful[:200],
    }


def _top1(logits: Array, truth: Places) -> float:
    return 100 * float((logits.argmax(axis=1) == truth).mean())


def _split(truth: Places) -> tuple[Places, Places]:
    """Images to draw from and to test on, of one folder: the first of each class, and the rest."""
    first = _balanced(np.random.default_rng(12345).permutation(len(truth)), truth, _FIRST)
    return first, np.setdiff1d(np.arange(len(truth)), first)


def main() -> None:
    """Print for each bed the mean top-1 in percent, adapt's gain over zero-shot in its worst draw, and its seconds."""
    for name in sys.argv[1:] or (*FOLDERS, DIGITS):
        print(f"\n{name}")
        classifier, drawn_from, apart = _bed(name)
        truth = drawn_from[1]
        first, more = np.arange(len(truth)), np.arange(0)
        if name == DIGITS:
            taken = _balanced(np.random.default_rng(0).permutation(len(truth)), truth, max(SHOTS))
            first = taken
            apart = _rest(drawn_from, taken)
        elif apart is None:
            first, second = _split(truth)
            more = _balanced(second, truth, max(SHOTS) - _FIRST)
            apart = _rest(drawn_from, np.concatenate([first, more]))
        _print_balanced(classifier, drawn_from, apart, first=first, more=more)
        if name != DIGITS:
            _print_some(classifier, drawn_from, apart, first=first)


def _rest(images: tuple[Array, Places], without: Places) -> tuple[Array, Places]:
    kept = np.setdiff1d(np.arange(len(images[1])), without)
    return images[0][kept], images[1][kept]


def _print_balanced(
    classifier: clipcli.Classifier,
    drawn_from: tuple[Array, Places],
    tested: tuple[Array, Places],
    *,
    first: Places,
    more: Places,
) -> None:
    images, truth = drawn_from
    columns = ["images a class", *METHODS, "worst draw", "seconds"]
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for shots in SHOTS:
        right: dict[str, list[float]] = {method: [] for method in METHODS}
        seconds = []
        for seed in range(DRAWS):
            order = np.concatenate([np.random.default_rng(seed).permutation(first), more])
            drawn = _balanced(order, truth, shots)
            for method, logits_by in METHODS.items():
                begun = time.perf_counter()
                right[method].append(_top1(logits_by(images[drawn], truth[drawn], classifier, tested[0]), tested[1]))
                if method == "adapt":
                    seconds.append(time.perf_counter() - begun)
        means = " | ".join(f"{np.mean(found):.1f}" for found in right.values())
        worst = (min(np.subtract(right[one], right["zero-shot"])) for one in ("adapt", "with images"))
        told = ", ".join(f"{gain:+.1f}" for gain in worst)
        print(f"| {shots} | {means} | {told} | {np.mean(seconds):.1f} |", flush=True)


def _print_some(
    classifier: clipcli.Classifier, drawn_from: tuple[Array, Places], tested: tuple[Array, Places], *, first: Places
) -> None:
    images, truth = drawn_from
    shares = np.sort(_softmax(zero_shot(images, truth, classifier, images)), axis=1)
    gains: dict[str, list[str]] = {}
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(first)
        for kind, drawn in _some(order, truth, shares[:, -2] - shares[:, -1]).items():
            before, after, with_images = (
                _top1(by(images[drawn], truth[drawn], classifier, tested[0]), tested[1])
                for by in (zero_shot, adapt, adapt_with_images)
            )
            also = "" if with_images == after else f" ({with_images - before:+.1f} with images)"
            gains.setdefault(kind, []).append(f"{after - before:+.1f}{also}")
    print("\n| corrections | gains in points |\n|---|---|")
    for kind, found in gains.items():
        print(f"| {kind} | {', '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
