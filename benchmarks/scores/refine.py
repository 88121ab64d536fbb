"""What `--refine` gains on the test beds, on folders of all sizes, and on folders that are hard for it.

The numbers of `clipcli/scoring/refine.py` were chosen on draws of the seeds from 100 on; here are those from 0 on.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import beds
import numpy as np
from beds import Bed
from numpy.typing import NDArray

from clipcli.scoring.classifier import Classifier
from clipcli.scoring.refine import refine
from clipcli.scoring.score import score

FLICKR = "flickr8k.zip/dev"
LARGE = ("clothing", "tiny-imagenet", "caltech-101")
SIZES = (100, 200, 400, 800, 1600, 3200)
# Draws from each bed; a third of them for those that yield several folders. Tiny-ImageNet takes long.
SEEDS = {"clothing": 20, "caltech-101": 8, "tiny-imagenet": 4}
# At most so many images in a draw.
_MOST = 1000
Draw = Callable[[Bed, np.random.Generator], Iterator[Bed]]
Indices = NDArray[np.intp]


def gain(bed: Bed) -> tuple[float, bool]:
    """Points of top-1 gained, over the images with a class (`truth` from 0 on), and whether it was refined."""
    refined = refine(bed.embeddings, bed.classifier)
    if refined.reason is not None:
        return 0.0, False
    return top1(bed, refined.classifier) - top1(bed, bed.classifier), True


def top1(bed: Bed, classifier: Classifier) -> float:
    """Percent of the images with a class that get it."""
    known = bed.truth >= 0
    best = score(bed.embeddings[known], classifier, kind="softmax").argmax(axis=1)
    return 100 * float((best == bed.truth[known]).mean())


def calibration_error(bed: Bed, classifier: Classifier, *, bins: int = 15) -> float:
    """The expected calibration error in percent (Guo et al. 2017)."""
    scores = score(bed.embeddings, classifier, kind="softmax")
    sure, right = scores.max(axis=1), scores.argmax(axis=1) == bed.truth
    places = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(float((right[places == n] - sure[places == n]).sum())) for n in range(bins)]
    return 100 * sum(gaps) / len(sure)


def _few(bed: Bed, rng: np.random.Generator) -> Iterator[Bed]:
    yield bed.some(rng.permutation(len(bed.truth))[:20])


def _one_class(bed: Bed, rng: np.random.Generator) -> Iterator[Bed]:
    yield bed.some(bed.truth == rng.integers(bed.truth.max() + 1))


def _few_classes(share: float) -> Draw:
    def draw(bed: Bed, rng: np.random.Generator) -> Iterator[Bed]:
        classes = len(bed.classifier.labels)
        present = rng.permutation(classes)[: max(2, round(share * classes))]
        yield bed.some(_at_most(np.flatnonzero(np.isin(bed.truth, present)), rng))

    return draw


def _tail(bed: Bed, rng: np.random.Generator) -> Iterator[Bed]:
    """The sizes of classes fall evenly to a fiftieth."""
    order = rng.permutation(len(bed.classifier.labels))
    most = np.median(np.bincount(bed.truth))
    sizes = {c: most * 50 ** (-place / (len(order) - 1)) for place, c in enumerate(order)}
    yield bed.some(_of_sizes(bed, sizes, rng))


def _step(bed: Bed, rng: np.random.Generator) -> Iterator[Bed]:
    """A fifth of the classes has fifty times the images of the others."""
    order = rng.permutation(len(bed.classifier.labels))
    most = np.median(np.bincount(bed.truth))
    sizes = {c: most if place < len(order) / 5 else most / 50 for place, c in enumerate(order)}
    yield bed.some(_of_sizes(bed, sizes, rng))


def _half_of_no_class(bed: Bed, rng: np.random.Generator) -> Iterator[Bed]:
    """As many images of no class, of each kind."""
    others = [beds.bed(name).embeddings for name in LARGE if name != bed.name]
    for other in (beds.embedded(beds.BACKGROUND), beds.embedded(FLICKR), *others):
        size = min(len(other), len(bed.truth), _MOST // 2)
        some = bed.some(rng.permutation(len(bed.truth))[:size])
        nones = other[rng.permutation(len(other))[:size]]
        truth = np.concatenate([some.truth, np.full(size, -1)])
        yield replace(some, embeddings=np.concatenate([some.embeddings, nones]), truth=truth)


def _wrong_list(share: float) -> Draw:
    """Only this share of the true classes is listed, and as many labels of another bed in place of the others."""

    def draw(bed: Bed, rng: np.random.Generator) -> Iterator[Bed]:
        classes = len(bed.classifier.labels)
        listed = rng.permutation(classes)[: max(2, round(share * classes))]
        places = np.full(classes, -1)
        places[listed] = np.arange(len(listed))
        some = bed.some(_at_most(np.arange(len(bed.truth)), rng))
        for name in (*(name for name in LARGE if name != bed.name), None):
            own = bed.classifier.class_embeddings[listed]
            wrong = np.empty((0, own.shape[1]), np.float32) if name is None else _names_of(name, rng)
            embeddings = np.concatenate([own, wrong[: classes - len(listed)]])
            labels = tuple(map(str, range(len(embeddings))))
            classifier = replace(bed.classifier, class_embeddings=embeddings, labels=labels)
            yield replace(some, truth=places[some.truth], classifier=classifier)

    return draw


def _names_of(name: str, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.permutation(beds.bed(name).classifier.class_embeddings)


def _among_998(images: int) -> Draw:
    """Tiny-ImageNet's images, so many of a class, among the names of all of ImageNet's classes."""

    def draw(bed: Bed, rng: np.random.Generator) -> Iterator[Bed]:
        if bed.name != "tiny-imagenet":
            return
        names = beds.bed(beds.PHOTOS).classifier
        place = {label.lower(): n for n, label in enumerate(names.labels)}
        places = np.array([place.get(label.lower(), -1) for label in bed.classifier.labels])
        chosen = _of_sizes(bed, dict.fromkeys(np.flatnonzero(places >= 0).tolist(), images), rng)
        yield replace(bed.some(chosen), truth=places[bed.truth[chosen]], classifier=names)

    return draw


HARD: dict[str, Draw] = {
    "20 images": _few,
    "one class only": _one_class,
    "5 of 100 labels present": _few_classes(0.05),
    "20 of 100 labels present": _few_classes(0.2),
    "half of the labels present": _few_classes(0.5),
    "50:1, a step": _step,
    "50:1, a tail": _tail,
    "half of the images of no class": _half_of_no_class,
    "half of the labels wrong": _wrong_list(0.5),
    "most labels wrong": _wrong_list(0.1),
    "1 image a class, of 998": _among_998(1),
    "4 images a class, of 998": _among_998(4),
    "20 images a class, of 998": _among_998(20),
}


def _of_sizes(bed: Bed, sizes: Mapping[int, float], rng: np.random.Generator) -> Indices:
    shuffled = rng.permutation(len(bed.truth))
    chosen = [shuffled[bed.truth[shuffled] == c][: max(1, round(size))] for c, size in sizes.items()]
    return np.concatenate(chosen)


def _at_most(images: Indices, rng: np.random.Generator) -> Indices:
    return rng.permutation(images)[:_MOST]


def hard_gains(draw: Draw, bed: Bed, seeds: range) -> list[tuple[float, bool]]:
    """The gains on the draws of these seeds."""
    drawn = (one for seed in seeds for one in draw(bed, np.random.default_rng(seed)))
    return [gain(one) for one in drawn if (one.truth >= 0).any()]


def gains_by_size(seeds: range) -> dict[str, dict[int, float]]:
    """The mean gain for each bed and number of images."""
    found: dict[str, dict[int, float]] = {}
    for name in LARGE:
        bed, of_bed = beds.bed(name), found.setdefault(name, {})
        for size in (size for size in SIZES if size < len(bed.truth)):
            drawn = [bed.some(np.random.default_rng(seed).permutation(len(bed.truth))[:size]) for seed in seeds]
            of_bed[size] = float(np.mean([gain(one)[0] for one in drawn]))
    return found


def _main_table() -> None:
    print("| bed | images | labels | top-1 | refined | gain | ECE | refined |\n|---|---|---|---|---|---|---|---|")
    gains = []
    for name in beds.BEDS:
        bed = beds.bed(name)
        refined = refine(bed.embeddings, bed.classifier)
        before, after = top1(bed, bed.classifier), top1(bed, refined.classifier)
        errors = [calibration_error(bed, one) for one in (bed.classifier, refined.classifier)]
        gains.append(after - before)
        print(
            f"| {name} | {len(bed.truth):,} | {len(bed.classifier.labels):,} | {before:.1f} % | {after:.1f} % |"
            f" {gains[-1]:+.1f} | {errors[0]:.1f} % | {errors[1]:.1f} % | {refined.reason or ''}"
        )
    print(f"\nOn average {np.mean(gains):+.1f} points.\n")


def _hard_table() -> None:
    print("| folder | bed | draws | refined | gain | worst |\n|---|---|---|---|---|---|")
    for kind, draw in HARD.items():
        for name in LARGE:
            draws = max(3, SEEDS[name] // 3) if kind.startswith(("half", "most")) else SEEDS[name]
            found = hard_gains(draw, beds.bed(name), range(draws))
            if not found:
                continue
            gains, refined = [one for one, _ in found], sum(is_refined for _, is_refined in found)
            print(
                f"| {kind} | {name} | {len(found)} | {refined} | {np.mean(gains):+.1f} | {min(gains):+.1f} |",
                flush=True,
            )
    print()


def _size_table() -> None:
    print(f"| bed | {' | '.join(f'{size:,}' for size in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    for name, of_bed in gains_by_size(range(3)).items():
        print(f"| {name} | {' | '.join(f'{of_bed[n]:+.1f}' if n in of_bed else '' for n in SIZES)} |")
    print()


def _cost(images: int = 100_000) -> None:
    """Time and memory of many images, drawn from Caltech-101 with noise."""
    bed, rng = beds.bed("caltech-101"), np.random.default_rng(0)
    embeddings = bed.embeddings[rng.integers(len(bed.truth), size=images)]
    embeddings += 0.01 * rng.standard_normal(embeddings.shape, dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    begun = time.perf_counter()
    refined = refine(embeddings, bed.classifier)
    seconds = time.perf_counter() - begun
    tracemalloc.start()
    refine(embeddings, bed.classifier)
    memory = tracemalloc.get_traced_memory()[1]
    print(
        f"{images:,} images × {len(bed.classifier.labels)} labels: {seconds:.1f} s, {memory / 1e6:.0f} MB beyond the"
        f" embeddings ({refined.changed:,} labels changed)"
    )


def picture(folder: Path) -> None:
    """Draw the gain by the number of images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for name, of_bed in gains_by_size(range(3)).items():
        axes.plot(list(of_bed), list(of_bed.values()), marker="o", label=name)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.set(xscale="log", xlabel="images", ylabel="points of top-1 gained")
    axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES], minor=False)
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(folder / "refine.svg", metadata={"Date": None})


def main() -> None:
    """Print all tables."""
    _main_table()
    _cost()
    print()
    _size_table()
    _hard_table()


if __name__ == "__main__":
    main()
