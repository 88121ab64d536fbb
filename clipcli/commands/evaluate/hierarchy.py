"""How right answers are at each level of a hierarchy, how far they are from the truth, and what backing off gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.chunks import in_chunks
from clipcli.commands.evaluate.hierarchy_results import BackingOff, Hierarchy, Level
from clipcli.commands.evaluate.results import Float32Array, IndexArray, Predictions
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.intervals import bootstrap, mean_of
from clipcli.scoring.score import cosine_of, from_cosine
from clipcli.scoring.tree import back_off
from clipcli.scoring.tree_metrics import Ways


def measure_hierarchy(
    embeddings: Float32Array,
    predictions: Predictions,
    classifier: Classifier,
    *,
    back_off_at: float | None,
    keys: Sequence[str],
) -> Hierarchy | None:
    """Measure predictions by embeddings `[M, D]`; `None` for classes in no groups, and for one alone.

    Images are resampled in the order of their `keys`, as for the other metrics.
    """
    if classifier.tree is None or len(classifier.labels) == 1:
        return None
    order = np.array(sorted(range(len(keys)), key=lambda n: keys[n]), dtype=np.intp)
    embeddings, answers, truth = embeddings[order], predictions.best[order, 0], predictions.truth[order]
    ways = Ways(classifier.tree)
    levels = ways.levels()
    edges, heights = ways.edges(answers, truth), ways.common_heights(answers, truth)
    values: dict[str, NDArray[np.generic]] = {"edges": edges, "height": heights}
    for n, hits in enumerate(_group_hits(embeddings, truth, classifier, levels)):
        values |= {f"label {n}": levels[n, answers] == levels[n, truth], f"group {n}": hits}
    found = bootstrap({name: mean_of(some) for name, some in values.items()}, count=len(truth))
    wrong = answers != truth
    return Hierarchy(
        levels=tuple(
            Level(n + 1, len(np.unique(names)), found[f"label {n}"], found[f"group {n}"])
            for n, names in enumerate(levels)
        ),
        edges=found["edges"],
        height=found["height"],
        edges_of_mistakes=float(edges[wrong].mean()) if wrong.any() else None,
        height_of_mistakes=float(heights[wrong].mean()) if wrong.any() else None,
        back_off=None if back_off_at is None else _measure_back_off(embeddings, truth, classifier, ways, back_off_at),
    )


def _measure_back_off(
    embeddings: Float32Array, truth: IndexArray, classifier: Classifier, ways: Ways, at: float
) -> BackingOff:
    """An answer is right if it is the true class, or a group that this is in."""
    chunks = [back_off(scores, ways.tree, at=at) for scores in _scores(embeddings, classifier)]
    answers, scores = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    values = {
        "accuracy": ways.right(answers, truth),
        "exact": answers < len(classifier.labels),
        "edges": ways.edges(answers, truth),
        "reached": scores >= at,
    }
    found = bootstrap({name: mean_of(some) for name, some in values.items()}, count=len(truth))
    return BackingOff(at, **found)


def _group_hits(
    embeddings: Float32Array, truth: IndexArray, classifier: Classifier, levels: IndexArray
) -> list[NDArray[np.bool_]]:
    """For each level, the images `[M]` of which the group with the highest score there is that of the true class.

    The scores are a softmax, whatever the model's own: others do not add up, and the best class decides.
    """
    places = [np.unique(names, return_inverse=True)[1] for names in levels]
    inside = [(of_level[:, None] == np.arange(of_level.max() + 1)).astype(np.float64) for of_level in places]
    hits: list[list[NDArray[np.bool_]]] = [[] for _ in levels]
    start = 0
    for scores in _scores(embeddings, classifier):
        true = truth[start : start + len(scores)]
        start += len(scores)
        for found, of_level, members in zip(hits, places, inside, strict=True):
            found.append((scores.astype(np.float64) @ members).argmax(axis=1) == of_level[true])
    return [np.concatenate(parts) for parts in hits]


def _scores(embeddings: Float32Array, classifier: Classifier) -> Iterator[Float32Array]:
    """Probabilities of the classes, in chunks of images, as those of thousands of classes take much memory."""
    for rows in in_chunks(len(embeddings)):
        yield from_cosine(cosine_of(embeddings[rows], classifier), classifier, kind="softmax")
