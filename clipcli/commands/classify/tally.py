"""Counts the rows of a run as they come, in little memory: labels with their scores, reasons, and the rows in doubt."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from clipcli.commands.classify.group_counts import GroupCounts
from clipcli.records import Row, lead_of

_IN_DOUBT = 3
# Reasons that name a place in a file are all different; those after so many count together.
_MOST_REASONS = 100
OTHER_REASONS = "for other reasons"


@dataclass(slots=True)
class Labelled:
    """How many images have a label, and the sum of their scores."""

    count: int = 0
    scores: float = 0.0

    @property
    def mean(self) -> float:
        """The mean score."""
        return self.scores / self.count


class Tally:
    """Counts by label and by the reason why an image was skipped, each with the first image of a reason.

    `in_doubt` are the rows that most deserve a look, with how sure they are: by the lead of the best score over the
    second where rows have one, else by the score itself; always by that with `by_score`, where the second is a score of
    another kind. With `several`, all labels of a row count, of which it may have none, and a row is as sure as the
    least sure of its labels. `groups` counts by the groups of labels, if the
    caller sets it.
    """

    def __init__(self, *, several: bool = False, by_score: bool = False) -> None:
        self.several, self.by_score = several, by_score
        self.rows = self.skipped = self.without = 0
        self.labels: dict[str, Labelled] = {}
        self.reasons: Counter[str] = Counter()
        self.firsts: dict[str, str] = {}
        self.in_doubt: list[tuple[float, int, Row]] = []
        self.groups = GroupCounts()
        self._sure_enough = float("inf")

    @property
    def labelled(self) -> int:
        """The number of rows with a label."""
        return self.rows - self.skipped - self.without

    @property
    def given(self) -> int:
        """The number of labels that all rows have together."""
        return sum(one.count for one in self.labels.values())

    def most_frequent(self) -> list[tuple[str, Labelled]]:
        """The labels with what is counted of them, the most frequent first."""
        return sorted(self.labels.items(), key=lambda one: -one[1].count)

    def of_none(self, unknown: str, *, noun: str) -> str:
        """How many images have the label `unknown`, as they fit none of the others, in a sentence."""
        count = self.labels[unknown].count if unknown in self.labels else 0
        if not count:
            return f"No {noun} is {unknown}: each fits one of the labels."
        verb = f"{noun} is" if self.labelled == 1 else f"{noun}s are" if count > 1 else f"{noun}s is"
        return f"{count:,} of {self.labelled:,} {verb} {unknown}: none of the labels fits."

    def add(self, rows: Sequence[Row]) -> None:
        """Count more rows."""
        labels, several, sure_enough = self.labels, self.several, self._sure_enough
        for number, row in enumerate(rows, self.rows):
            scores = row.scores
            if not scores:
                self._skip(row)
                continue
            for label, score in zip(row.labels, scores, strict=True) if several else ((row.labels[0], scores[0]),):
                known = labels.get(label)
                if known is None:
                    known = labels[label] = Labelled()
                known.count += 1
                known.scores += score
            lead = self.sureness(row)
            if lead < sure_enough:
                sure_enough = self._doubt(lead, number, row)
        self.rows += len(rows)
        self.groups.add(rows)

    def sureness(self, row: Row) -> float:
        """How sure the labels of a row are: the lower, the more it deserves a look."""
        if self.several:
            return row.scores[-1]
        return row.scores[0] if self.by_score else lead_of(row)

    def _doubt(self, lead: float, number: int, row: Row) -> float:
        """Keep a row in doubt; returns the lead from which on a row is surer than those that are kept."""
        insort(self.in_doubt, (lead, number, row), key=lambda one: one[:2])
        del self.in_doubt[_IN_DOUBT:]
        if len(self.in_doubt) == _IN_DOUBT:
            self._sure_enough = self.in_doubt[-1][0]
        return self._sure_enough

    def _skip(self, row: Row) -> None:
        if row.error is None:
            self.without += 1
            return
        self.skipped += 1
        reason = row.error or ""
        if reason not in self.reasons and len(self.reasons) >= _MOST_REASONS:
            reason = OTHER_REASONS
        self.reasons[reason] += 1
        self.firsts.setdefault(reason, row.path)
