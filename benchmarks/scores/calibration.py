"""Calibration by few labels, on the test beds: `python benchmarks/scores/calibration.py`, about five minutes.

Every figure is a mean over draws of labelled images; it is measured on the images of the bed that were not drawn. The
priors in `clipcli/scoring/calibration.py` were chosen on other draws, of the seeds 0 to 140.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import beds
import numpy as np
from numpy.typing import NDArray

from clipcli.scoring import calibration as way
from clipcli.scoring.calibration import Array, Fitted, Places, Quality, calibration_of, quality
from clipcli.scoring.intervals import bootstrap
from clipcli.scoring.reliability import calibration_error, correct_bias, reliability
from clipcli.scoring.score import cosine_of
from clipcli.scoring.softmax import log_loss, log_softmax

LABELS = (20, 50, 200)
DRAWS, SEED = 40, 1000
PHOTOS_LABELS = 20
# Factors of the logit scale: models that are too little and too much sure of themselves.
SCALES = (0.5, 0.7, 1.4, 2.0)


@dataclass(frozen=True, slots=True)
class Bed:
    """Logits `[N, C]` at the model's own scale, and the true classes `[N]`."""

    name: str
    logits: Array
    truth: Places

    def draw(self, seed: int, count: int) -> tuple[Places, Places]:
        """So many images at random, and all others."""
        order = np.random.default_rng(SEED + seed).permutation(len(self.truth))
        return order[:count], order[count:]


def bed(name: str, *, scale: float = 1.0) -> Bed:
    """The test bed of this name, with the logit scale times a factor."""
    found = beds.bed(name)
    cosine = cosine_of(found.embeddings, found.classifier).astype(np.float64)
    return Bed(name, cosine * (found.classifier.logit_scale * scale), found.truth)


def temperature_alone(logits: Array, truth: Places) -> Fitted:
    """A temperature by the likelihood alone (Guo et al. 2017)."""
    steps = np.exp(np.linspace(-3, 3, 241))
    losses = [log_loss(logits / step, truth).mean() for step in steps]
    return float(steps[int(np.argmin(losses))]), None


def chosen(logits: Array, truth: Places) -> Fitted:
    """What `clipcli calibrate` chooses."""
    found = calibration_of(logits, truth)
    return found.temperature, None if found.biases is None else np.array(found.biases)


WAYS: dict[str, Callable[[Array, Places], Fitted]] = {
    "nothing": lambda _, __: (1.0, None),
    "temperature": temperature_alone,
    "temperature with prior": partial(way.fit, with_biases=False),
    "… and biases": partial(way.fit, with_biases=True),
    "chosen": chosen,
}


def measured(fitted: Fitted, logits: Array, truth: Places) -> tuple[float, float, float]:
    """The calibration error, top-1 and negative log-likelihood of calibrated logits."""
    calibrated = logits / fitted[0] + (0 if fitted[1] is None else fitted[1])
    confidence, correct = top(calibrated, truth)
    ece = calibration_error(confidence, correct)(np.ones((1, len(truth))))[0]
    return float(ece), float(correct.mean()), float(log_loss(calibrated, truth).mean())


def top(logits: Array, truth: Places) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The best score of each image, and whether its label is right."""
    return np.exp(log_softmax(logits)).max(axis=1).astype(np.float32), logits.argmax(axis=1) == truth


def interval(one: Bed) -> Quality:
    """The quality of the scores as they are on all images of a bed, with the interval of the calibration error."""
    return quality(one.logits, one.truth)


def by_labels(one: Bed, counts: Sequence[int] = LABELS) -> None:
    """Print a row for each number of labels and each way: calibration error, top-1, likelihood, harm, choices."""
    plain = interval(one)
    said = f"{plain.ece:.1%} [{plain.ece_low * 100:.1f}, {plain.ece_high * 100:.1f}]"
    print(f"\n{one.name}: {len(one.truth):,} images, {one.logits.shape[1]:,} classes, plain ECE {said}\n")
    print("| labels | | ECE | of nine in ten draws below | worse by more than chance | top-1 | NLL |")
    print("|---|---|---|---|---|---|---|")
    for count in counts:
        for name, fit in WAYS.items():
            figures = []
            for seed in range(DRAWS):
                drawn, rest = one.draw(seed, count)
                figures.append(measured(fit(one.logits[drawn], one.truth[drawn]), one.logits[rest], one.truth[rest]))
            ece, top1, nll = np.array(figures).T
            worse = int((ece > plain.ece_high).sum())
            cells = f"{ece.mean():.1%} | {np.quantile(ece, 0.9):.1%} | {worse} of {DRAWS} | {top1.mean():.1%}"
            print(f"| {count} | {name} | {cells} | {nll.mean():.3f} |", flush=True)


def by_scale(names: Sequence[str], count: int = 50) -> None:
    """Print the calibration error before and after, with logit scales that are too small and too large."""
    print(f"\nOther logit scales, {count} labels: ECE plain → chosen\n")
    print(f"| | {' | '.join(f'× {scale}' for scale in SCALES)} |")
    print(f"|---|{'---|' * len(SCALES)}")
    for name in names:
        cells = []
        for scale in SCALES:
            one, figures = bed(name, scale=scale), []
            for seed in range(DRAWS // 2):
                drawn, rest = one.draw(seed, count)
                after = chosen(one.logits[drawn], one.truth[drawn])
                both = [measured(fitted, one.logits[rest], one.truth[rest])[0] for fitted in ((1.0, None), after)]
                figures.append(both)
            before, now = np.mean(figures, axis=0)
            cells.append(f"{before:.1%} → {now:.1%}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def to_other_labels(names: Sequence[str], count: int) -> None:
    """Print the calibration error of each bed with the temperature of each other (Tu et al. 2024)."""
    print(f"\nA temperature from {count} labels of one set, on another: ECE\n")
    print(f"| | plain | {' | '.join(f'from {name}' for name in names)} |")
    print(f"|---|---|{'---|' * len(names)}")
    all_beds = {name: bed(name) for name in names}
    for target in all_beds.values():
        cells = []
        for source in all_beds.values():
            figures = []
            for seed in range(DRAWS):
                drawn, rest = source.draw(seed, count)
                rest = rest if source is target else np.arange(len(target.truth))
                temperature, _ = way.fit(source.logits[drawn], source.truth[drawn], with_biases=False)
                figures.append(measured((temperature, None), target.logits[rest], target.truth[rest])[0])
            cells.append(f"{np.mean(figures):.1%}")
        print(f"| {target.name} | {interval(target).ece:.1%} | {' | '.join(cells)} |", flush=True)


def to_the_other_half(names: Sequence[str], count: int) -> None:
    """Print the calibration error on one half of the classes with the temperature of the other half."""
    print(f"\nA temperature from {count} labels of one half of the classes, on the other half: ECE\n")
    print("| | plain | the other half's temperature | its own |\n|---|---|---|---|")
    for name in names:
        one, figures = bed(name), []
        for seed in range(DRAWS):
            order = np.random.default_rng(SEED + seed).permutation(one.logits.shape[1])
            here, there = (_of_classes(one, np.sort(half)) for half in np.array_split(order, 2))
            _, rest = here.draw(seed, count)
            temperatures = [1.0]
            for other in (there, here):
                some, _ = other.draw(seed, count)
                temperatures.append(way.fit(other.logits[some], other.truth[some], with_biases=False)[0])
            figures.append([measured((t, None), here.logits[rest], here.truth[rest])[0] for t in temperatures])
        print(f"| {name} | {' | '.join(f'{value:.1%}' for value in np.mean(figures, axis=0))} |", flush=True)


def _of_classes(one: Bed, classes: Places) -> Bed:
    of_these = np.isin(one.truth, classes)
    return Bed(one.name, one.logits[of_these][:, classes], np.searchsorted(classes, one.truth[of_these]))


def by_drawing(names: Sequence[str], count: int = 50) -> None:
    """Print what becomes of labels that are not drawn at random: of doubtful images, and as many of each class."""
    print(f"\n{count} labels, drawn otherwise: ECE and top-1 on the other images\n")
    print("| | plain | at random | as many of each class | of the most doubtful third |\n|---|---|---|---|---|")
    for name in names:
        one, columns = bed(name), []
        for draw in (_at_random, _of_each_class, _doubtful):
            figures = []
            for seed in range(DRAWS):
                drawn = draw(one, seed, count)
                rest = np.setdiff1d(np.arange(len(one.truth)), drawn)
                fitted = chosen(one.logits[drawn], one.truth[drawn])
                figures.append(measured(fitted, one.logits[rest], one.truth[rest]))
            columns.append(np.mean(figures, axis=0))
        plain = interval(one)
        cells = [f"{plain.ece:.1%}, {plain.top1:.1%}", *(f"{ece:.1%}, {top1:.1%}" for ece, top1, _ in columns)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _at_random(one: Bed, seed: int, count: int) -> Places:
    return one.draw(seed, count)[0]


def _of_each_class(one: Bed, seed: int, count: int) -> Places:
    """The first images of each class in turn, in a random order of images."""
    order = np.random.default_rng(SEED + seed).permutation(len(one.truth))
    turn = np.empty(len(order), np.intp)
    seen = np.zeros(one.logits.shape[1], np.intp)
    for image in order:
        turn[image] = seen[one.truth[image]]
        seen[one.truth[image]] += 1
    drawn: Places = order[np.argsort(turn[order], kind="stable")][:count]
    return drawn


def _doubtful(one: Bed, seed: int, count: int) -> Places:
    """Images at random of the third with the least lead of the best score over the second."""
    scores = np.sort(np.exp(log_softmax(one.logits)), axis=1)
    doubtful = np.argsort(scores[:, -1] - scores[:, -2])[: len(one.truth) // 3]
    drawn: Places = np.random.default_rng(SEED + seed).permutation(doubtful)[:count]
    return drawn


def picture(folder: Path) -> None:
    """Draw the reliability of the scores on clothing, as they are and calibrated with 50 labels: `calibration.png`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    one = bed("clothing")
    drawn, rest = one.draw(0, 50)
    temperature, biases = chosen(one.logits[drawn], one.truth[drawn])
    calibrated = one.logits / temperature + (0 if biases is None else biases)
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True, layout="constrained")
    for axis, title, logits in zip(
        axes, ("as the model gives them", "calibrated"), (one.logits, calibrated), strict=True
    ):
        confidence, correct = top(logits[rest], one.truth[rest])
        bins = reliability(confidence, correct)
        estimates = bootstrap({"ece": calibration_error(confidence, correct)}, count=len(rest))
        error = correct_bias(estimates["ece"], confidence).value
        axis.bar([b.low for b in bins], [b.accuracy for b in bins], 1 / 15, align="edge", color="#4a7fb5", ec="white")
        axis.plot([0, 1], [0, 1], "--", color="#888", lw=1)
        axis.set(title=f"{title}: error {error:.1%}, {correct.mean():.0%} right", xlabel="score of the label")
        axis.set(xlim=(0, 1), ylim=(0, 1))
        axis.title.set_size(10)
    axes[0].set_ylabel("share that is right")
    figure.savefig(folder / "calibration.png", dpi=110)
    plt.close(figure)


def main() -> None:
    """Print all tables."""
    names = tuple(beds.FOLDERS)
    for name in names:
        by_labels(bed(name))
    by_labels(bed(beds.PHOTOS), (PHOTOS_LABELS,))
    by_scale(names)
    to_other_labels(names, 50)
    to_the_other_half(names, 50)
    by_drawing(names)


if __name__ == "__main__":
    main()
