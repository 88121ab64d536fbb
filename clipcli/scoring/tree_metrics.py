"""How far answers are from the truth in a hierarchy of classes.

Answers are indices of classes, or of groups behind them, as `clipcli.scoring.tree` has them; truths are classes. The
measures are those of Bertinetto et al. 2020, "Making Better Mistakes": the height of the innermost group that has both
the answer and the truth in it. Beside it stands the number of steps from the one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.tree import Tree

Indices = NDArray[np.intp]
_NOTHING = -1


@dataclass(frozen=True)
class Ways:
    """The way from the root to each answer of a tree: `C` classes, then `G` groups."""

    tree: Tree

    @cached_property
    def steps(self) -> Indices:
        """The answer at each level `[C + G, L]` on the way to each, itself at its end, and `-1` after that."""
        count, nodes = len(self.tree.groups), self.tree.nodes
        places = {path: count + n for n, path in enumerate(nodes)}
        ways = [[*(places[path[:n]] for n in range(1, len(path) + 1)), c] for c, path in enumerate(self.tree.groups)]
        ways += [[places[path[:n]] for n in range(1, len(path) + 1)] for path in nodes]
        steps = np.full((len(ways), max(map(len, ways))), _NOTHING, np.intp)
        for n, way in enumerate(ways):
            steps[n, : len(way)] = way
        return steps

    @cached_property
    def depths(self) -> Indices:
        """The number of steps from the root to each answer `[C + G]`."""
        return np.asarray((self.steps != _NOTHING).sum(axis=1), np.intp)

    @cached_property
    def heights(self) -> Indices:
        """The most steps from each answer down to a class in it; the root's, behind the others: `[C + G + 1]`."""
        count = len(self.tree.groups)
        heights = np.zeros(len(self.steps) + 1, np.intp)
        for way, depth in zip(self.steps[:count], self.depths[:count], strict=True):
            inside = way[: depth - 1]
            np.maximum.at(heights, inside, depth - 1 - np.arange(len(inside)))
        heights[-1] = self.depths[:count].max()
        return heights

    def levels(self) -> Indices:
        """What stands for each class at each level `[L, C]`: its group there, or itself where it has none."""
        steps = self.steps[: len(self.tree.groups)]
        return np.where(steps == _NOTHING, np.arange(len(steps))[:, None], steps).T

    def edges(self, answers: Indices, truth: Indices) -> Indices:
        """The number of steps between each answer and its truth `[N]`: up to what has both in it, and down again."""
        return np.asarray(self.depths[answers] + self.depths[truth] - 2 * self._shared(answers, truth), np.intp)

    def common_heights(self, answers: Indices, truth: Indices) -> Indices:
        """The height `[N]` of the innermost group that has both in it; 0 where the answer is the truth."""
        shared = self._shared(answers, truth)
        common = np.where(shared > 0, self.steps[truth, np.maximum(shared, 1) - 1], len(self.steps))
        return np.asarray(self.heights[common], np.intp)

    def right(self, answers: Indices, truth: Indices) -> NDArray[np.bool_]:
        """True where the answer is the truth, or a group that it is in, `[N]`."""
        return np.asarray(self._shared(answers, truth) == self.depths[answers], np.bool_)

    def _shared(self, answers: Indices, truth: Indices) -> Indices:
        """How many steps the ways to each answer and its truth have in common `[N]`."""
        theirs, own = self.steps[answers], self.steps[truth]
        return np.asarray(((theirs == own) & (theirs != _NOTHING)).sum(axis=1), np.intp)
