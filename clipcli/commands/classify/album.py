"""The page of `--report`: the labelled photos by label, with small pictures, the least sure first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clipcli.commands.classify.group_counts import GroupCounts
from clipcli.commands.classify.tally import Tally
from clipcli.errors import UsageError
from clipcli.events import ThumbnailsMade
from clipcli.images.thumbnail import thumbnails
from clipcli.outputs.check import check_is_not_read, check_output
from clipcli.records import ImageItem, Provenance, Row, lead_of
from clipcli.report import Bar, Gallery, Group, Page, Section, Table, Thumbnail, Verdict, is_page, write_page

# The longer side of a thumbnail, in pixels.
_THUMBNAIL = 128


class _Photo(NamedTuple):
    """A labelled photo; photos are in the order of their leads over the next label, then of the inputs."""

    lead: float
    number: int
    row: Row
    item: ImageItem


class Album:
    """Gathers the rows of a run for its page, which shows at most so many photos of all labels together."""

    def __init__(self, path: str, *, most: int) -> None:
        self.path, self._most = path, most
        self.title = "Labelled photos"
        self.subtitle = ""
        self.left_out: tuple[str, ...] = ()
        self._tally = Tally()
        self._least_sure: dict[str, list[_Photo]] = {}
        self._skipped: list[Row] = []

    def count_groups(self, provenance: Provenance) -> None:
        """Count the rows that are added by the groups of their labels, if they are in some."""
        self._tally.groups = GroupCounts.of(provenance)

    def add(self, rows: Sequence[Row], items: Sequence[ImageItem]) -> None:
        """Add the next rows, and the images that they are of."""
        for number, (row, item) in enumerate(zip(rows, items, strict=True), self._tally.rows):
            if not row.labels:
                self._skipped += [row] if len(self._skipped) < self._most else []
                continue
            kept = self._least_sure.setdefault(row.labels[0], [])
            kept.append(_Photo(lead_of(row), number, row, item))
            if len(kept) > 2 * self._most:
                kept.sort()
                del kept[self._most :]
        self._tally.add(rows)

    def write(self) -> Iterator[ThumbnailsMade]:
        """Make the thumbnails and write the page. Raises `OutputFailed`."""
        labels = [label for label, _ in self._tally.most_frequent()]
        shares = even_shares([self._tally.labels[label].count for label in labels], most=self._most)
        shown = {label: sorted(self._least_sure[label])[:n] for label, n in zip(labels, shares, strict=True)}
        photos = [photo for group in shown.values() for photo in group]
        pictures: dict[int, str | None] = {}
        made = thumbnails([photo.item for photo in photos], side=_THUMBNAIL)
        for photo, picture in zip(photos, made, strict=True):
            pictures[photo.number] = picture
            yield ThumbnailsMade(len(pictures), len(photos))
        folder = _common_folder([*(photo.row.path for photo in photos), *(row.path for row in self._skipped)])
        groups = [self._group(label, shown[label], pictures, folder=folder) for label in labels if shown[label]]
        sections: list[Section] = [
            Verdict(self._sentences(photos)),
            *self._table(),
            *self._groups(),
            Gallery("Photos", [*groups, *self._skipped_group(folder)], self._note(len(photos), folder), filtered=True),
        ]
        write_page(Path(self.path), Page(self.title, self.subtitle, sections))

    def _sentences(self, photos: Sequence[_Photo]) -> list[str]:
        labelled, skipped = self._tally.labelled, self._tally.skipped
        sentence = f"{labelled:,} {'photo has' if labelled == 1 else 'photos have'} a label"
        if labelled:
            (label, most), *others = self._tally.most_frequent()
            if not others or most.count > others[0][1].count:
                sentence += f", most often {label} ({most.count:,})"
        if skipped:
            sentence += f"; {skipped:,} could not be read"
        least = min(photos, default=None)
        doubt = (
            [] if least is None else [f"Least sure: {least.row.labels[0]}, {_scores(least.row)} ({least.row.path})."]
        )
        return [f"{sentence}.", *doubt]

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
        return [Table("Labels", ("label", "photos", "share", "mean score"), rows)] if rows else []

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

    def _group(self, label: str, photos: Sequence[_Photo], pictures: dict[int, str | None], *, folder: str) -> Group:
        of_label = self._tally.labels[label]
        count = of_label.count
        note = f"{count:,}" if len(photos) == count else f"the {len(photos):,} least sure of {count:,}"
        return Group(
            [
                Thumbnail(
                    pictures[photo.number], _scores(photo.row), photo.row.path[len(folder) :], photo.row.scores[0]
                )
                for photo in photos
            ],
            label,
            f"{note}; mean score {_figure(of_label.mean)}",
        )

    def _skipped_group(self, folder: str) -> list[Group]:
        if not self._skipped:
            return []
        count, shown = self._tally.skipped, len(self._skipped)
        note = f"{count:,}" if shown == count else f"the first {shown:,} of {count:,}"
        rows = [Thumbnail(None, row.error or "", row.path[len(folder) :]) for row in self._skipped]
        return [Group(rows, "Skipped", note)]

    def _note(self, shown: int, folder: str) -> str:
        total = self._tally.labelled
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
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {path} does not end in .html, and is a page; give --report {Path(path).stem}.html")
    check_is_not_read(path, reads, flag="--report")
    check_output(path, overwrite=overwrite or (resume and is_page(Path(path))), flag="--report")


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
