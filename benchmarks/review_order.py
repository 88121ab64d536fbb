"""What 50 looks teach, by the order of `clipcli review` and by others, on photos whose folder is their label.

    python benchmarks/review_order.py predictions.csv --names 'longsleeve=long sleeve'

`predictions.csv` is an output of `clipcli classify` with its manifest, whose embeddings are in the cache. Of the photos
a third at random is kept for testing, and of the others the first 50 of each order are corrected. Then a classifier is
fitted to these, least squares with the text classifier as prior, and its top-1 on the test photos is printed, as a mean
over draws with its standard error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import clipcli
from clipcli.commands.review.embeddings import stored_embeddings
from clipcli.commands.review.order import doubtful_first, draw, with_drawn
from clipcli.commands.review.photos import read_photos
from clipcli.notices import Notices

LOOKS, DRAWS = 50, 30
# The weight of the text classifier against each corrected photo, tried in turn; the best of an order counts.
PRIORS = (0.3, 1.0, 3.0, 10.0)
# Differences of cosines are small beside the targets 0 and 1.
SHARE = 3
Floats = NDArray[np.float32]


def orders(leads: list[float], groups: NDArray[np.intp], embeddings: Floats, *, seed: int) -> dict[str, list[int]]:
    """The orders to compare, by name."""
    rng = np.random.default_rng(seed)
    return {
        "at random": rng.permutation(len(leads)).tolist(),
        "smallest margin": np.argsort(leads, kind="stable").tolist(),
        "spread over labels": doubtful_first(leads, groups, None),
        "spread over embeddings": doubtful_first(leads, groups, embeddings),
        "the same, every fourth at random": with_drawn(
            doubtful_first(leads, groups, embeddings), draw(len(leads), most=len(leads))
        ),
    }


def fitted(text: Floats, images: Floats, truth: NDArray[np.intp], *, prior: float) -> Floats:
    """Least squares `[C, D]` on images `[N, D]` of these classes `[N]`, with `text` `[C, D]` as prior."""
    start = SHARE * (text - text.mean(axis=0))
    missing = np.eye(len(text), dtype=np.float32)[truth] - images @ start.T
    gram = images.T @ images + prior * np.eye(images.shape[1], dtype=np.float32)
    weights: Floats = start + np.linalg.solve(gram, images.T @ missing).T
    return weights


def main() -> None:
    """Print a table of the orders."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("predictions")
    parser.add_argument("--names", default="", help="folders that are called otherwise than their label: a=b,c=d")
    given = parser.parse_args()
    rows = read_photos(given.predictions, Notices())
    embeddings = stored_embeddings([photo.item for photo in rows.photos], rows.manifest)
    if embeddings is None or rows.manifest is None:
        raise SystemExit("no embeddings are in the cache; run clipcli classify first, with its manifest")
    renamed = dict(pair.split("=") for pair in given.names.split(",") if pair)
    labels = list(rows.labels)
    folders = [Path(photo.row.path).parent.name for photo in rows.photos]
    truth = np.array([labels.index(renamed.get(name, name.replace("_", " "))) for name in folders])
    groups = np.array([labels.index(photo.said[0]) for photo in rows.photos])
    leads = np.array([photo.lead for photo in rows.photos])
    text = clipcli.build_classifier(labels, model=rows.manifest.provenance.model).class_embeddings
    found: dict[str, list[list[float]]] = {}
    for seed in range(DRAWS):
        drawn = np.random.default_rng(seed).permutation(len(truth))
        test, pool = drawn[: len(drawn) // 3], drawn[len(drawn) // 3 :]
        score = float((groups[test] == truth[test]).mean())
        found.setdefault("nothing", []).append([score] * len(PRIORS))
        by_name = orders(leads[pool].tolist(), groups[pool], embeddings[pool], seed=seed)
        for name, order in by_name.items():
            looked = pool[order[:LOOKS]]
            weights = [fitted(text, embeddings[looked], truth[looked], prior=prior) for prior in PRIORS]
            right = [(embeddings[test] @ one.T).argmax(axis=1) == truth[test] for one in weights]
            found.setdefault(name, []).append([float(one.mean()) for one in right])
    for name, values in found.items():
        by_prior = np.array(values)
        best = int(by_prior.mean(axis=0).argmax())
        error = by_prior[:, best].std() / np.sqrt(DRAWS)
        print(f"{name:34} {100 * by_prior[:, best].mean():5.1f} ± {100 * error:.1f}   (prior {PRIORS[best]:g})")


if __name__ == "__main__":
    main()
