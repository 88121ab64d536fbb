"""Classes in groups of WordNet: hits at each level, distances, backing off, and whether a group's own prompts help.

    python benchmarks/scores/hierarchy.py

prints its tables in Markdown. Nothing was tuned on these images; the groups come from the labels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import beds
import numpy as np
import timm
from numpy.typing import NDArray

import clipcli
from clipcli.classes.labels import LabelledClass
from clipcli.classes.taxonomy import in_taxonomy
from clipcli.classes.tree import Tree, tree_of
from clipcli.notices import Notices
from clipcli.scoring.score import score
from clipcli.scoring.tree import back_off, group_scores, groups_of, members_of
from clipcli.scoring.tree_metrics import Ways

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
# Beside the beds of photos by class, the photos among 1,000 names are too few for shares by level.
BEDS = tuple(beds.FOLDERS)
PROBABILITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
# The reward of Deng et al. 2012 for an answer that is right, beside that for how exact it is, in bits.
REWARDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True)
class Nested:
    """A bed with the groups of its classes, and the probabilities `[N, C]` of these."""

    bed: beds.Bed
    tree: Tree
    scores: NDArray[np.float32]

    @property
    def everything(self) -> Array:
        """The probabilities `[N, C + G]` of classes and groups."""
        return np.concatenate([self.scores, group_scores(self.scores, self.tree, kind="softmax")], axis=1).astype(
            np.float64
        )

    @property
    def bits(self) -> Array:
        """How exact each answer is `[C + G]`: the bits by which it narrows the classes down."""
        count = len(self.tree.groups)
        return np.concatenate([np.full(count, np.log2(count)), np.log2(count / members_of(self.tree).sum(axis=1))])


@cache
def nested(name: str) -> Nested:
    """The bed of this name, with the groups that WordNet has for its labels."""
    bed = beds.bed(name)
    classes = in_taxonomy([LabelledClass(label) for label in bed.classifier.labels], Notices())
    tree = tree_of(classes)
    if tree is None:
        raise SystemExit(f"WordNet has no groups for {name}")
    return Nested(bed, tree, score(bed.embeddings, bed.classifier, kind="softmax"))


def trees() -> Iterator[Sequence[str]]:
    """How large the hierarchies are."""
    yield ("images", "photos", "classes", "groups", "of a class at most", "on average")
    for name in BEDS:
        one = nested(name)
        depths = [len(groups) for groups in one.tree.groups]
        counts = f"{len(one.bed.truth):,}", f"{len(depths)}", f"{len(one.tree.nodes)}"
        yield (name, *counts, f"{max(depths)}", f"{np.mean(depths):.1f}")


def meanings() -> str:
    """How many classes of ImageNet get the meaning that ImageNet itself gives them, by their first names alone."""
    folder = Path(timm.__file__).parent / "data" / "_info"
    ids = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
    lines = (folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    names = {key: text.split(", ")[0] for key, text in (line.split("\t", 1) for line in lines)}
    told = in_taxonomy([LabelledClass(f"class {key}", aliases=(key,)) for key in ids], Notices())
    guessed = in_taxonomy([LabelledClass(f"class {n}", aliases=(names[key],)) for n, key in enumerate(ids)], Notices())
    same = sum(bool(set(one.groups[-1:]) & set(other.groups)) for one, other in zip(told, guessed, strict=True))
    return f"Of ImageNet's {len(ids):,} classes {same / len(ids):.1%} are in their own innermost group by name alone."


def levels() -> Iterator[Sequence[str]]:
    """The share of labels in the right group of each level, and of groups that are right by their summed scores."""
    yield ("images", "level", "names", "label right", "group by score right")
    for name in BEDS:
        one = nested(name)
        answers, truth = one.scores.argmax(axis=1), one.bed.truth
        for n, names in enumerate(Ways(one.tree).levels()):
            places = np.unique(names, return_inverse=True)[1]
            sums = one.scores.astype(np.float64) @ (places[:, None] == np.arange(places.max() + 1))
            by_label = (places[answers] == places[truth]).mean()
            by_group = (sums.argmax(axis=1) == places[truth]).mean()
            yield (name if not n else "", f"{n + 1}", f"{places.max() + 1}", f"{by_label:.1%}", f"{by_group:.1%}")


def distances() -> Iterator[Sequence[str]]:
    """Steps to the truth, and the height of the innermost group that has both in it."""
    yield ("images", "top-1", "steps to the truth", "of mistakes", "height of common group", "of mistakes")
    for name in BEDS:
        one = nested(name)
        answers, truth, ways = one.scores.argmax(axis=1), one.bed.truth, Ways(one.tree)
        steps, heights = ways.edges(answers, truth), ways.common_heights(answers, truth)
        wrong = answers != truth
        means = (steps.mean(), steps[wrong].mean(), heights.mean(), heights[wrong].mean())
        yield (name, f"{1 - wrong.mean():.1%}", *(f"{mean:.2f}" for mean in means))


def climbing(one: Nested, at: float) -> Indices:
    """The best class, or the innermost of its groups that reaches the probability, or its outermost."""
    everything, groups, count = one.everything, groups_of(one.tree), len(one.tree.groups)
    ways = [[n, *(count + group for group in reversed(groups[n]))] for n in range(count)]
    best = one.scores.argmax(axis=1)
    return np.array(
        [next((n for n in ways[b] if row[n] >= at), ways[b][-1]) for row, b in zip(everything, best, strict=True)]
    )


def innermost(one: Nested, at: float) -> Indices:
    """The innermost answer that reaches the probability, wherever the best class is."""
    depths, everything = Ways(one.tree).depths, one.everything
    ranks = np.where(everything >= at, depths + everything, everything - 1)
    return np.asarray(ranks.argmax(axis=1), np.intp)


def rewarded(one: Nested, reward: float) -> Indices:
    """Of Deng et al. 2012: the answer with the highest expected reward, of bits and of being right."""
    return np.asarray(((one.bits + reward) * one.everything).argmax(axis=1), np.intp)


METHODS: dict[str, Callable[[Nested, float], Indices]] = {
    "clipcli": lambda one, at: back_off(one.scores, one.tree, at=at)[0],
    "climbing alone": climbing,
    "innermost anywhere": innermost,
    "Deng et al.": rewarded,
}


def trade_off() -> Iterator[Sequence[str]]:
    """How often answers are right, against the share of them that are classes, by method and probability."""
    yield ("images", "method", "at", "right", "classes", "reach it", "bits")
    for name in BEDS:
        one = nested(name)
        ways, truth, rows = Ways(one.tree), one.bed.truth, np.arange(len(one.bed.truth))
        for method, answer in METHODS.items():
            for at in REWARDS if answer is rewarded else PROBABILITIES:
                answers = answer(one, at)
                right = ways.right(answers, truth)
                reached = "" if answer is rewarded else f"{(one.everything[rows, answers] >= at).mean():.1%}"
                shares = f"{right.mean():.1%}", f"{(answers < len(one.tree.groups)).mean():.1%}"
                yield (name, method, f"{at:g}", *shares, reached, f"{np.where(right, one.bits[answers], 0).mean():.2f}")


def parents() -> Iterator[Sequence[str]]:
    """Points of top-1 that scores of the groups' own prompts add to those of the classes.

    The first two are CHiLS (Novack et al. 2023), of the outermost groups: their probability by their own prompts, times
    that of the class, or that of the class within its group.
    """
    found = {name: dict(_with_parents(nested(name))) for name in BEDS}
    yield ("scores", *found)
    for way in next(iter(found.values())):
        yield (way, *(f"{100 * gains[way]:+.1f}" for gains in found.values()))


def _with_parents(one: Nested) -> Iterator[tuple[str, float]]:
    bed, scores = one.bed, one.scores.astype(np.float64)
    base = (scores.argmax(axis=1) == bed.truth).mean()
    names = [path[-1].removesuffix(" (any)") for path in one.tree.nodes]
    unique = list(dict.fromkeys(names))
    own = clipcli.build_classifier(unique, model=beds.MODEL, keep_names=True).class_embeddings
    classes = bed.classifier.class_embeddings.astype(np.float64)
    groups = np.stack([own[unique.index(name)] for name in names]).astype(np.float64)
    inside = groups_of(one.tree)
    outer = np.stack([groups[some[0]] if some else classes[n] for n, some in enumerate(inside)])
    inner = np.stack([groups[some[-1]] if some else classes[n] for n, some in enumerate(inside)])
    _, first, places = np.unique(
        [some[0] if some else -1 - n for n, some in enumerate(inside)], return_index=True, return_inverse=True
    )
    logits = bed.classifier.logit_scale * (bed.embeddings @ outer[first].T)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    of_outer = (powers / powers.sum(axis=1, keepdims=True))[:, places]
    sums = (scores @ (places[:, None] == np.arange(len(first))))[:, places]

    def gain(found: Array) -> float:
        return float((found.argmax(axis=1) == bed.truth).mean() - base)

    yield "CHiLS: class times outermost group", gain(scores * of_outer)
    yield "CHiLS: class within its outermost group, times group", gain(scores / sums * of_outer)
    for power in (0.1, 0.25):
        yield f"class times outermost group to the power of {power}", gain(scores * of_outer**power)
    for weight in (0.05, 0.1, 0.2):
        mixed = (1 - weight) * classes + weight * inner
        yield f"embeddings with {weight:g} of their innermost group's", gain(bed.embeddings @ mixed.T)
    kinds = _kinds(bed, one.tree)
    for weight in (0.1, 0.3, 1.0):
        mixed = (1 - weight) * classes + weight * kinds
        yield f"embeddings with {weight:g} of 'a beagle, a type of dog'", gain(bed.embeddings @ mixed.T)
    of_inner = group_scores(one.scores, one.tree, kind="softmax")
    summed = np.stack([of_inner[:, some[-1]] if some else one.scores[:, n] for n, some in enumerate(inside)], axis=1)
    yield "class times the sum of its innermost group", gain(scores * summed)


def _kinds(bed: beds.Bed, tree: Tree) -> Array:
    """Embeddings `[C, D]` of the classes by one prompt that names their innermost group."""
    pairs = zip(bed.classifier.labels, tree.groups, strict=True)
    texts = [f"a photo of a {label}{f', a type of {groups[-1]}' if groups else ''}." for label, groups in pairs]
    return beds.model().embed_texts([text.replace(" (any)", "") for text in texts]).astype(np.float64)


def printed(title: str, table: Iterator[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    head, *rows = table
    print(f"\n## {title}\n")
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")


def main() -> None:
    """Print all tables."""
    printed("Hierarchies", trees())
    print(f"\n{meanings()}")
    printed("Hits at each level", levels())
    printed("Distances", distances())
    printed("Backing off", trade_off())
    printed("Do the groups' own prompts help?", parents())


if __name__ == "__main__":
    main()
