"""Scores of groups from those of their classes, and answers that back off to a group where no class is sure enough.

Probabilities of a softmax add up: a group has the sum of its classes. Scores that do not, of a sigmoid or the cosine,
give a group the highest of its classes.

Backing off gives up how exact an answer is for how often it is right, as in Deng et al. 2012, "Hedging your bets". They
choose the answer for the whole data, by a reward for how exact it is; here each answer reaches a probability of its
own, so that its score alone says how sure it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.tree import Tree
from clipcli.errors import UsageError
from clipcli.records import Decided, Decision, Scores

Array = NDArray[np.float32]
Indices = NDArray[np.intp]


def members_of(tree: Tree) -> NDArray[np.bool_]:
    """True for the classes of each group, `[G, C]`, in the order of `tree.nodes`."""
    members = np.zeros((len(tree.nodes), len(tree.groups)), np.bool_)
    for n, groups in enumerate(groups_of(tree)):
        members[groups, n] = True
    return members


def groups_of(tree: Tree) -> list[list[int]]:
    """The groups of each class as indices into `tree.nodes`, the outermost first."""
    places = {path: n for n, path in enumerate(tree.nodes)}
    return [[places[path[:n]] for n in range(1, len(path) + 1)] for path in tree.groups]


def group_scores(scores: Array, tree: Tree, *, kind: str) -> Array:
    """The scores `[N, G]` of the groups by those of the classes, `[N, C]`: their sum for `softmax`, else the highest.

    They are summed in float64, so that a row does not depend on the number of rows.
    """
    members = members_of(tree)
    if kind == "softmax":
        summed: Array = (scores.astype(np.float64) @ members.T.astype(np.float64)).astype(np.float32)
        return np.minimum(summed, np.float32(1))
    highest = np.empty((len(scores), len(members)), np.float32)
    for n, inside in enumerate(members):
        highest[:, n] = scores[:, inside].max(axis=1)
    return highest


def back_off(scores: Array, tree: Tree, *, at: float) -> tuple[Indices, Array]:
    """The answer to each image, `[N]`, and its score `[N]`, from probabilities `[N, C]` of the classes.

    An answer is the index of a class, or `C` and the index of a group. It is the best class if that reaches `at`, else
    the innermost of its groups that does. If none of them does, it is the innermost group that does elsewhere, the
    surest of those. Where nothing reaches `at`, it is the outermost group of the best class, or that class if it is in
    none: its score is lower, and says so.
    """
    everything = np.concatenate([scores, group_scores(scores, tree, kind="softmax")], axis=1)
    groups, count = groups_of(tree), scores.shape[1]
    upwards = [np.array([n, *(count + group for group in reversed(groups[n]))]) for n in range(count)]
    depths = np.array([*(len(path) + 1 for path in tree.groups), *map(len, tree.nodes)])
    answers = np.empty(len(scores), np.intp)
    for row, (values, best) in enumerate(zip(everything, scores.argmax(axis=1), strict=True)):
        way = upwards[best]
        reached = way[values[way] >= at]
        if not len(reached):
            reached = np.flatnonzero(values >= at)
            reached = reached[np.lexsort((-values[reached], -depths[reached]))]
        answers[row] = reached[0] if len(reached) else way[-1]
    return answers, everything[np.arange(len(scores)), answers]


def backed_off(decided: Decided, scores: Scores, tree: Tree, *, at: float, top_k: int) -> Decided:
    """The decisions with the answer of `back_off` first, and after it the best classes that are not the answer."""
    answers, values = back_off(scores.values, tree, at=at)
    decisions = []
    for decision, answer, score in zip(decided.decisions, answers.tolist(), values.tolist(), strict=True):
        others = [(n, value) for n, value in zip(decision.classes, decision.scores, strict=True) if n != answer]
        chosen = [(answer, score), *others][:top_k]
        decisions.append(Decision(tuple(n for n, _ in chosen), tuple(value for _, value in chosen)))
    return Decided(decided.entries, tuple(decisions))


def check_back_off(tree: Tree | None, kind: str) -> None:
    """Raise `UsageError` for classes without groups, and for scores that do not add up."""
    if tree is None:
        raise UsageError(
            "--back-off needs groups to back off to; give labels that nest in a .yaml, or --taxonomy wordnet"
        )
    if kind != "softmax":
        raise UsageError(f"--back-off needs scores that add up, and those of {kind} do not; use --score softmax")
