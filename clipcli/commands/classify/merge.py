"""Merges the rows of a fresh run into the output that is brought up to date, and counts what became of each."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from clipcli.classes.tree import Tree, written_path
from clipcli.commands.classify.merge_notices import CHANGED, ELSEWHERE, NOT_ASKED, SEVERAL, STRANGER, not_kept
from clipcli.commands.classify.settings import ClassifySettings, labels_written
from clipcli.commands.classify.update import Update, check_model, said
from clipcli.data.reference import digest_of, read
from clipcli.events import Event, ImagesGathered, RowsReady, Updated, Warned
from clipcli.files.names import original
from clipcli.memory.contents import contents_of, same_pixels
from clipcli.memory.memory import Memory
from clipcli.notices import Notices
from clipcli.outputs.correction import Correction
from clipcli.records import MODEL, PERSON, ImageItem, Provenance, Row

MISSING = "missing: the image is no longer among the inputs"


class Merge:
    """Merges the rows of a fresh run into an output.

    It is made before images are read anew, to know which files have changed. The caller sets `answers`, the labels that
    the model gave by the settings of that output, by path, where these were others and it was edited; `None` where
    those of the fresh run are the same.
    """

    def __init__(
        self,
        update: Update,
        items: Sequence[ImageItem],
        *,
        options: ClassifySettings,
        provenance: Provenance,
        memory: Memory,
    ) -> None:
        self._update, self._options, self._provenance, self._memory = update, options, provenance, memory
        self.answers: Mapping[str, tuple[str, ...]] | None = None
        self._items = iter(items)
        self._count, self._images = Counter[str](), len(items)
        self._names = _names_and_paths(provenance, options)
        self.notices = Notices()
        rows = update.former.rows if update.former else ()
        said = update.corrections
        if said.by_path:
            said = said.as_called(_names_by_place(rows, items), self.notices)
        # Others were told when the files were read.
        self._conflicts = [one for one in said.conflicts if one not in update.corrections.conflicts]
        self._corrections = {original(path): one for path, one in said.by_path.items()}
        self._unused = set(self._corrections)
        self._edited = update.former is not None and update.former.edited
        self._contents = contents_of({row.path for row in rows}, memory=memory)
        self._known: dict[str, Row] = {}
        for row in rows:
            if row.source == PERSON or original(row.path) not in self._known:
                self._known[original(row.path)] = row
        ids = {original(item.id) for item in items}
        self._gone = {id(row): row for row in rows if original(row.path) not in ids}
        self._gone_by_content: defaultdict[bytes, list[Row]] = defaultdict(list)
        for row in sorted(self._gone.values(), key=self._is_by_person):
            if row.path in self._contents:
                self._gone_by_content[self._contents[row.path]].append(row)

    def rows(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events, with the rows as the output gets them, and `Updated` at the end."""
        gathers, done = self._update.keep_missing and bool(self._gone), 0
        gathered: list[Row] = []
        for event in events:
            if not isinstance(event, RowsReady):
                if self._update.former is not None and self.answers is None:
                    check_model(self._update.former, event)
                yield event
                continue
            rows = self._merged(event.rows)
            if not gathers:
                yield RowsReady(rows)
                continue
            gathered += rows
            done += len(rows)
            yield ImagesGathered(done, self._images)
        if gathers:
            yield from self._with_missing(gathered)
        yield from self._ended()

    def _merged(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        contents = contents_of([row.path for row in rows], memory=self._memory) if self._known else {}
        return tuple(self._row(row, item, contents.get(row.path)) for row, item in zip(rows, self._items, strict=False))

    def _row(self, fresh: Row, item: ImageItem, content: bytes | None) -> Row:
        """The row that an image gets; `content` is the hash of what is there."""
        path = original(fresh.path)
        known = self._known.get(path)
        moved = None if known or content is None else self._moved_from(item, content)
        before = known or moved
        correction = self._corrections.get(path) or (self._corrections.get(original(moved.path)) if moved else None)
        is_changed = bool(known and content and self._contents.get(known.path, content) != content)
        if correction is not None:
            row = self._corrected(fresh, correction)
        elif before is not None and self._is_of_person(before, fresh):
            row = self._by_person(fresh, before.labels)
        else:
            row = replace(fresh, source=MODEL)
        if is_changed and row.source == PERSON:
            self.notices.add(CHANGED, row.path)
        self._count[self._became(row, known, moved, is_changed=is_changed)] += 1
        return row

    def _became(self, row: Row, known: Row | None, moved: Row | None, *, is_changed: bool) -> str:
        """What this run did about a row."""
        if row.source == PERSON and not self._was_said(row, known or moved):
            return "corrected"
        if known is None:
            return "moved" if moved else "new"
        if is_changed:
            return "changed"
        return "kept" if self._said(known) == self._said(row) else "relabelled"

    def _was_said(self, row: Row, before: Row | None) -> bool:
        """True if what a person said of an image was in the output already."""
        if before is None or before.source != PERSON:
            return False
        # Who says by the source alone that a label is right, leaves the score of the model.
        is_same_score = self._options.wide or before.scores == row.scores
        return before.labels == row.labels and is_same_score

    def _corrected(self, fresh: Row, correction: Correction) -> Row:
        """The row of an image that was corrected."""
        self._unused -= {original(correction.path)}
        return self._by_person(fresh, correction.labels)

    def _by_person(self, fresh: Row, labels: tuple[str, ...]) -> Row:
        """The row of an image whose labels a person gave; these are sure."""
        if not labels and self._options.unknown:
            labels = (self._options.unknown_label,)
        if len(labels) > 1 and not self._options.multi_label:
            labels = labels[:1]
        if any(label not in self._names for label in labels):
            self.notices.add(STRANGER, f"{fresh.path} ('{next(one for one in labels if one not in self._names)}')")
        label_path = self._names.get(labels[0]) if labels else None
        scores = (1.0,) * len(labels)
        return Row(fresh.path, labels, scores, None, fresh.kept, fresh.all_scores, label_path, PERSON)

    def _moved_from(self, item: ImageItem, content: bytes) -> Row | None:
        """The row of an image that is gone, and has this content; that of a person only if the file itself says so."""
        rows = self._gone_by_content.get(content)
        if not rows or (self._is_by_person(rows[-1]) and not self._has(item, content)):
            return None
        row = rows.pop()
        del self._gone[id(row)]
        return row

    def _has(self, item: ImageItem, content: bytes) -> bool:
        """True if a file has a content, or one with the same pixels."""
        try:
            digest = digest_of(read(item.reference))
        # What cannot be read has no row to give to.
        except Exception:
            return False
        return content in same_pixels([digest], memory=self._memory)[digest]

    def _is_by_person(self, row: Row) -> bool:
        return row.source == PERSON or original(row.path) in self._corrections

    def _is_of_person(self, before: Row, fresh: Row) -> bool:
        """True if a person chose the labels of a row, in the output as it was before."""
        if before.source == PERSON:
            return True
        # Who takes the source out, asks the model again.
        if before.source is None and self._update.former is not None and self._update.former.schema.has_source:
            return False
        # An image that could not be read had no label for a person to change.
        if not self._edited or (before.error is not None and not before.labels):
            return False
        if self.answers is None:
            return self._said(fresh) != self._said(before)
        answer = self.answers.get(original(before.path))
        several = self._update.former is not None and self._update.former.schema.several
        return answer is not None and answer != said(before, several=several)

    def _said(self, row: Row) -> tuple[str, ...]:
        return said(row, several=self._options.multi_label)

    def _with_missing(self, rows: Sequence[Row]) -> Iterator[RowsReady]:
        """All rows, with those of missing images behind the row that they stood behind."""
        after: defaultdict[str | None, list[Row]] = defaultdict(list)
        here = {original(row.path) for row in rows}
        last = None
        for row in self._update.former.rows if self._update.former else ():
            if id(row) in self._gone:
                after[last].append(self._missing(row))
            elif original(row.path) in here:
                last = original(row.path)
        part: list[Row] = []
        if after[None]:
            yield RowsReady(tuple(after.pop(None)), missing=True)
        for row in rows:
            part.append(row)
            missing = after.pop(original(row.path), None)
            if missing:
                yield RowsReady(tuple(part))
                yield RowsReady(tuple(missing), missing=True)
                part = []
        if part:
            yield RowsReady(tuple(part))

    def _missing(self, row: Row) -> Row:
        """The row of a missing image, with as many labels as rows have now."""
        self._count["missing"] += 1
        most = len(row.labels) if self._options.multi_label else labels_written(self._options)
        before = self._update.former.manifest.provenance if self._update.former else self._provenance
        cells = dict(zip(before.kept, row.kept, strict=False))
        same = [one["label"] for one in before.classes] == [one["label"] for one in self._provenance.classes]
        row = replace(
            row,
            labels=row.labels[:most],
            scores=row.scores[:most],
            error=MISSING,
            kept=tuple(cells.get(name) for name in self._provenance.kept),
            all_scores=row.all_scores if same else (),
            source=row.source or MODEL,
        )
        correction = self._corrections.get(original(row.path))
        return row if correction is None else replace(self._corrected(row, correction), error=MISSING)

    def _ended(self) -> Iterator[Event]:
        gone = list(self._gone.values())
        dropped = [] if self._update.keep_missing else gone
        for row in dropped:
            if os.path.exists(row.path):
                self.notices.add(NOT_ASKED, row.path)
        by_person = [row for row in dropped if self._is_by_person(row)]
        yield from not_kept([row.path for row in by_person], corrections=self._corrections)
        yield from (Warned(conflict.in_words()) for conflict in self._conflicts)
        for path in sorted(self._unused - {original(row.path) for row in dropped}):
            self.notices.add(ELSEWHERE, path)
        if not self._options.multi_label:
            for one in self._corrections.values():
                if len(one.labels) > 1:
                    self.notices.add(SEVERAL, one.path)
        yield from self.notices.events()
        # Of an image that is gone nothing tells whose a label is in an output that was edited.
        is_in_doubt = self._edited and any(row.error != MISSING and not self._is_by_person(row) for row in gone)
        yield Updated(**self._count, dropped=len(dropped), loses=bool(by_person) or is_in_doubt)


def _names_by_place(rows: Iterable[Row], items: Iterable[ImageItem]) -> dict[str, str]:
    """How rows call images, by the absolute path of each."""
    names = {os.path.abspath(row.path): row.path for row in rows if "\0" not in row.path}
    of_files = (item for item in items if item.reference.kind == "file" and item.reference.path)
    return names | {os.path.abspath(str(item.reference.path)): item.id for item in of_files}


def _names_and_paths(provenance: Provenance, options: ClassifySettings) -> dict[str, str | None]:
    """All that may be a label, with its `label_path`."""
    labels = [one["label"] for one in provenance.classes]
    names: dict[str, str | None] = dict.fromkeys(labels)
    if provenance.has_groups:
        tree = Tree(tuple(tuple(one["groups"]) for one in provenance.classes))
        names = dict(zip(tree.names(labels), map(written_path, tree.paths(labels)), strict=True))
    return names | ({options.unknown_label: None} if options.unknown else {})
