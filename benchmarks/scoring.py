"""How fast images are scored against many labels, beside libraries that could do it, and whose rows stand alone.

Random embeddings of 512 dimensions, in blocks as clipcli makes them: cosines, the softmax and the best label. A row
stands alone if its scores are the same to the bit when it is scored without others. Faiss, where it is installed, finds
the best label without a softmax.
Run: python benchmarks/scoring.py [IMAGES] [LABELS]
"""

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scale import DIMENSIONS, unit
from side_by_side import RUNS

import clipcli
from clipcli.scoring import blocks, score

Array = NDArray[np.float32]
# The best labels of images, and their scores.
Found = tuple[NDArray[np.intp], Array]


def ways(classes: Array) -> dict[str, Callable[[Array], Found]]:
    """Functions of a block of images by name; the first is clipcli's."""
    names = tuple(map(str, range(len(classes))))
    classifier = replace(clipcli.build_classifier(["a", "b"], model="tiny"), class_embeddings=classes, labels=names)
    scale = np.float32(classifier.logit_scale)

    def ours(images: Array) -> Found:
        scores = score.score(images, classifier, kind="softmax")
        best = score.best(scores, 1)
        return best[:, 0], np.take_along_axis(scores, best, axis=1)[:, 0]

    def by_torch(kind: torch.dtype) -> Callable[[Array], Found]:
        others = torch.from_numpy(classes).to(kind).T

        def found(images: Array) -> Found:
            logits = (torch.from_numpy(images).to(kind) @ others).float() * float(scale)
            scores, best = logits.softmax(dim=1).max(dim=1)
            return best.numpy(), scores.numpy()

        return found

    def in_float32(images: Array) -> Found:
        logits = images @ classes.T * scale
        best = logits.argmax(axis=1)
        logits -= logits.max(axis=1, keepdims=True)
        return best, 1 / np.exp(logits).sum(axis=1)

    found: dict[str, Callable[[Array], Found]] = {"clipcli, products in float64": ours, "numpy, float32": in_float32}
    found |= {"torch, float64": by_torch(torch.float64), "torch, float32": by_torch(torch.float32)}
    if importlib.util.find_spec("faiss"):
        import faiss

        index = faiss.IndexFlatIP(DIMENSIONS)
        index.add(classes)

        def by_faiss(images: Array) -> Found:
            cosines, best = index.search(images, 1)
            return best[:, 0], cosines[:, 0]

        found["faiss, float32, no softmax"] = by_faiss
    return found


def stand_alone(way: Callable[[Array], Found], images: Array) -> bool:
    """True if each row's score is the same to the bit when it is scored by itself, and with one other."""
    _, together = way(images)
    return all(way(images[n : n + size])[1][0] == together[n] for n in range(64) for size in (1, 2))


def main(count: int, labels: int) -> None:
    """Measure in turn, and print medians."""
    images = unit(count)
    found = ways(unit(labels))
    took: dict[str, list[float]] = {name: [] for name in found}
    best: dict[str, NDArray[np.intp]] = {}
    for _ in range(RUNS):
        for name, way in found.items():
            start = time.perf_counter()
            best[name] = np.concatenate([way(images[rows])[0] for rows in blocks.blocks(count, width=labels)])
            took[name].append(time.perf_counter() - start)
    ours = next(iter(found))
    print(f"{count:,} images × {labels:,} labels, {DIMENSIONS} dimensions, medians of {RUNS}\n")
    print("| | seconds | clipcli takes times as long | same labels | rows stand alone |\n|---|---|---|---|---|")
    block = images[next(iter(blocks.blocks(count, width=labels)))]
    for name, way in found.items():
        ratio = statistics.median(a / b for a, b in zip(took[ours], took[name], strict=True))
        same = np.mean(best[name] == best[ours])
        alone = "yes" if stand_alone(way, block) else "no"
        print(f"| {name} | {statistics.median(took[name]):.2f} | {ratio:.2f} | {same:.2%} | {alone} |")


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[1:]]
    main(given[0] if given else 4096, given[1] if given[1:] else 20_000)
