"""The results of an evaluation for classes in groups, as records."""

from __future__ import annotations

from dataclasses import dataclass

from clipcli.scoring.intervals import Estimate


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a hierarchy, counted from the root, with so many `names`: groups, and classes that end above it.

    `label` is the share of images whose label is in the group of the true class, and `group` the share of which that
    group has the highest score.
    """

    level: int
    names: int
    label: Estimate
    group: Estimate


@dataclass(frozen=True, slots=True)
class BackingOff:
    """Answers with a group where no class reaches `at`, as of `--back-off`.

    `accuracy` is the share of answers that are the true class or a group that it is in, `exact` the share that are
    classes, and `reached` the share that reach `at`. `edges` is the mean number of steps to the true class.
    """

    at: float
    accuracy: Estimate
    exact: Estimate
    reached: Estimate
    edges: Estimate


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """How right labels are at each level of a hierarchy, and how far from the truth (Bertinetto et al. 2020).

    `edges` is the mean number of steps between label and truth, and `height` that of the innermost group that has both
    in it. Over the mistakes alone they are `None` where there is none, and so is `back_off` where it was not asked for.
    """

    levels: tuple[Level, ...]
    edges: Estimate
    height: Estimate
    edges_of_mistakes: float | None
    height_of_mistakes: float | None
    back_off: BackingOff | None
