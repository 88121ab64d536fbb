"""The page of `--report`: the labelled photos by label, with small pictures, the least sure first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clipcli.commands.classify.group_counts import GroupCounts
from clipcli.commands.classify.tally import Tally
from clipcli.events import ThumbnailsMade
from clipcli.images.decode import DEFAULT_LIMITS
from clipcli.images.limits import Limits
from clipcli.images.thumbnail import thumbnails
from clipcli.outputs.check import check_page
from clipcli.records import PERSON, ImageItem, Provenance, Row
from clipcli.report import Bar, Gallery, Group, Page, Section, Table, Thumbnail, Verdict, is_page, write_page

# The longer side of a thumbnail, in pixels.
_THUMBNAIL = 128


class _Photo(NamedTuple):
    """A photo in the group of a label, by the label's place in its row; the least sure come first, then by input.

    How sure it is, is what the `Tally` says; with several labels the score itself.
    """

    sure: float
    number: int
    place: int
    row: Row
    item: ImageItem

    @property
    def score(self) -> float | None:
        """The score of the label; `None` without a label."""
        return self.row.scores[self.place] if self.row.scores else None


class Album:
    """Gathers the rows of a run for its page, which shows at most so many photos of all labels together.

    `unknown` is the label of photos of none of the classes, where they were looked for. With `several`, a photo is
    shown with each of its labels, and those without a label are shown together. `by_score` is as in a `Tally`, and
    `limits` are those of decoding.
    """

    def __init__(
        self,
        path: str,
        *,
        most: int,
        unknown: str | None = None,
        several: bool = False,
        by_score: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.path, self._most, self._unknown, self._limits = path, most, unknown, limits
        self.title = "Labelled photos"
        self.subtitle = ""
        self.left_out: tuple[str, ...] = ()
        self._tally = Tally(several=several, by_score=by_score)
        self._least_sure: dict[str | None, list[_Photo]] = {}
        self._skipped: list[Row] = []

    def count_groups(self, provenance: Provenance) -> None:
        """Count the rows that are added by the groups of their labels, if they are in some."""
        self._tally.groups = GroupCounts.of(provenance)

    def add(self, rows: Sequence[Row], items: Sequence[ImageItem]) -> None:
        """Add the next rows, and the images that they are of."""
        for number, (row, item) in enumerate(zip(rows, items, strict=True), self._tally.rows):
            if row.error is not None:
                self._skipped += [row] if len(self._skipped) < self._most else []
                continue
            if not row.labels:
                self._keep(None, _Photo(0.0, number, 0, row, item))
            elif not self._tally.several:
                self._keep(row.labels[0], _Photo(self._tally.sureness(row), number, 0, row, item))
            else:
                for place, (label, score) in enumerate(zip(row.labels, row.scores, strict=True)):
                    self._keep(label, _Photo(score, number, place, row, item))
        self._tally.add(rows)

    def _keep(self, label: str | None, photo: _Photo) -> None:
        kept = self._least_sure.setdefault(label, [])
        kept.append(photo)
        if len(kept) > 2 * self._most:
            kept.sort()
            del kept[self._most :]

    def write(self) -> Iterator[ThumbnailsMade]:
        """Make the thumbnails and write the page. Raises `OutputFailed`."""
        counts: dict[str | None, int] = {label: found.count for label, found in self._tally.most_frequent()}
        if self._tally.without:
            counts[None] = self._tally.without
        labels, shares = list(counts), even_shares(list(counts.values()), most=self._most)
        shown = {label: sorted(self._least_sure[label])[:n] for label, n in zip(labels, shares, strict=True)}
        photos = [photo for group in shown.values() for photo in group]
        pictures: dict[int, str | None] = {}
        items = {photo.number: photo.item for photo in photos}
        made = thumbnails(list(items.values()), side=_THUMBNAIL, limits=self._limits)
        for number, picture in zip(items, made, strict=True):
            pictures[number] = picture
            yield ThumbnailsMade(len(pictures), len(items))
        folder = _common_folder([*(photo.row.path for photo in photos), *(row.path for row in self._skipped)])
        groups = [self._group(label, shown[label], pictures, folder=folder) for label in labels if shown[label]]
        sections: list[Section] = [
            Verdict(self._sentences(photos)),
            *self._table(),
            *self._groups(),
            Gallery("Photos", [*groups, *self._skipped_group(folder)], self._note(len(items), folder), filtered=True),
        ]
        write_page(Path(self.path), Page(self.title, self.subtitle, sections))

    def _sentences(self, photos: Sequence[_Photo]) -> list[str]:
        by_count = [(label, of_label) for label, of_label in self._tally.most_frequent() if label != self._unknown]
        unknown = self._tally.labels[self._unknown].count if self._unknown in self._tally.labels else 0
        labelled, skipped = self._tally.labelled - unknown, self._tally.skipped
        sentence = f"{labelled:,} {'photo has' if labelled == 1 else 'photos have'} a label"
        if labelled:
            (label, most), *others = by_count
            if not others or most.count > others[0][1].count:
                sentence += f", most often {label} ({most.count:,})"
        if self._tally.without:
            sentence += f"; {self._tally.without:,} {'has' if self._tally.without == 1 else 'have'} none"
        if skipped:
            sentence += f"; {skipped:,} could not be read"
        least = min((photo for photo in photos if photo.row.labels), default=None)
        of_none = [] if self._unknown is None else [self._tally.of_none(self._unknown, noun="photo")]
        doubt = (
            []
            if least is None
            else [f"Least sure: {least.row.labels[least.place]}, {self._caption(least)} ({least.row.path})."]
        )
        return [f"{sentence}.", *of_none, *doubt]

    def _table(self) -> list[Section]:
        total = self._tally.rows
        rows = [
            (
                label,
                f"{of_label.count:,}",
                Bar(f"{of_label.count / total:.1%}", of_label.count / total),
                _figure(of_label.mean),
            )
            for label, of_label in self._tally.most_frequent()
        ]
        note = "A photo counts for each of its labels." if self._tally.several else None
        return [Table("Labels", ("label", "photos", "share", "mean score"), rows, note)] if rows else []

    def _groups(self) -> list[Section]:
        """A table of the groups of labels, each indented below the one around it."""
        counts, total = self._tally.groups.counts(), self._tally.rows
        rows = [
            (
                "\u2003" * (len(count.path) - 1) + count.path[-1],
                f"{count.images:,}",
                Bar(f"{count.images / total:.1%}", count.images / total),
                f"{count.own:,}" if count.own else None,
            )
            for count in counts
        ]
        note = " ".join(self._tally.groups.sentences()) or None
        columns = ("group", "photos", "share", "with the group as label")
        return [Table("Groups", columns, rows, note)] if rows else []

    def _group(
        self, label: str | None, photos: Sequence[_Photo], pictures: dict[int, str | None], *, folder: str
    ) -> Group:
        shown = [
            Thumbnail(pictures[photo.number], self._caption(photo), photo.row.path[len(folder) :], photo.score)
            for photo in photos
        ]
        if label is None:
            count = self._tally.without
            note = f"{count:,}" if len(photos) == count else f"the first {len(photos):,} of {count:,}"
            return Group(shown, "No label", note)
        of_label = self._tally.labels[label]
        count = of_label.count
        note = f"{count:,}" if len(photos) == count else f"the {len(photos):,} least sure of {count:,}"
        return Group(shown, label, f"{note}; mean score {_figure(of_label.mean)}")

    def _caption(self, photo: _Photo) -> str:
        """The score of a photo's label, and of the next one; with several labels, those that it has beside."""
        row = photo.row
        if photo.score is None:
            return "none over its threshold" if row.source != PERSON else "none of the labels, by a person"
        if not self._tally.several:
            return _scores(row)
        others = [label for place, label in enumerate(row.labels) if place != photo.place]
        return f"{_figure(photo.score)}{'; also ' if others else ''}{', '.join(others)}"

    def _skipped_group(self, folder: str) -> list[Group]:
        if not self._skipped:
            return []
        count, shown = self._tally.skipped, len(self._skipped)
        note = f"{count:,}" if shown == count else f"the first {shown:,} of {count:,}"
        rows = [Thumbnail(None, row.error or "", row.path[len(folder) :]) for row in self._skipped]
        return [Group(rows, "Skipped", note)]

    def _note(self, shown: int, folder: str) -> str:
        total = self._tally.rows - self._tally.skipped
        more = f" {shown:,} of {total:,} photos are shown; --report-images N sets how many." if shown < total else ""
        begin = f" Paths begin at {folder}." if folder else ""
        return " ".join([f"In each label the least sure come first.{more}{begin}", *self.left_out])


def even_shares(counts: Sequence[int], *, most: int) -> list[int]:
    """How many of each group to show, `most` in all: groups that have fewer than their share leave it to the others."""
    shares = [0] * len(counts)
    left = most
    for place, n in enumerate(sorted(range(len(counts)), key=lambda n: counts[n])):
        shares[n] = min(counts[n], left // (len(counts) - place))
        left -= shares[n]
    return shares


def check_album(path: str, *, overwrite: bool, resume: bool, reads: Sequence[object]) -> None:
    """Check that the page can be written, before any work is done; `reads` are what the command reads or writes.

    With `resume` only a page is replaced, which an earlier run has written.

    Raises `UsageError`, `OutputExists` and `OutputFailed`.
    """
    check_page(path, reads, overwrite=overwrite or (resume and is_page(Path(path))), flag="--report")


def _scores(row: Row) -> str:
    """The score of a photo's label, and of the next one."""
    best = _figure(row.scores[0])
    return best if len(row.labels) < 2 else f"{best}; next {row.labels[1]} {_figure(row.scores[1])}"


def _figure(score: float) -> str:
    return f"{score:.1e}" if 0 < abs(score) < 1e-3 else f"{score:.3f}"


def _common_folder(paths: Sequence[str]) -> str:
    """The folder that all paths begin with, with a slash at its end; empty if there is none."""
    first, last = min(paths, default=""), max(paths, default="")
    alike = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[: first.rfind("/", 0, alike) + 1]
