"""Brings an output up to date: a fresh run over the images, in which what a person said about them is kept.

What a person said are corrections in files of their own, rows whose `source` is a person, and labels that were changed
in the output itself: those are told by what the model says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clipcli.commands.classify.settings import ClassifySettings
from clipcli.encoding.model import Model
from clipcli.errors import UsageError, some_of
from clipcli.events import Downloading, Event, Loading, ModelKnown, ModelLoaded, RowsPlanned, RowsReady
from clipcli.files.names import original
from clipcli.outputs.correction import Corrections
from clipcli.outputs.differences import differences, differences_of_models
from clipcli.outputs.former import Former
from clipcli.records import ImageItem, Provenance, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a run brings up to date: the `former` output, `None` if there is none yet, and what persons said.

    With `keep_missing`, rows of images that are gone are kept. Images in the files `unfinished`, which are still being
    written, wait for the next update, unless they have a row already.
    """

    former: Former | None
    corrections: Corrections = field(default_factory=lambda: Corrections({}))
    keep_missing: bool = False
    unfinished: frozenset[str] = frozenset()

    def items(self, items: Sequence[ImageItem]) -> list[ImageItem]:
        """The images that get a row now."""
        known = {row.path for row in self.former.rows} if self.former and self.unfinished else set()
        return [item for item in items if item.id in known or not self._is_unfinished(item)]

    def _is_unfinished(self, item: ImageItem) -> bool:
        return item.file is not None and os.path.abspath(item.file) in self.unfinished

    def check(self, items: Sequence[ImageItem]) -> None:
        """Raise `UsageError` if the output is of other images altogether, which would all lose their rows."""
        if self.former is None or not self.former.rows:
            return
        ids = {original(item.id) for item in items}
        paths = [row.path for row in self.former.rows]
        if not ids.isdisjoint(map(original, paths)):
            return
        if any(map(os.path.exists, paths)):
            raise UsageError(
                f"{self.former.path} is of other inputs: none of its images, such as {some_of(paths[:1])}, is among"
                " these; give those as well, or another --output"
            )
        beside = os.path.dirname(os.path.abspath(self.former.path))
        if any(os.path.exists(os.path.join(beside, path)) for path in paths):
            raise UsageError(
                f"the images of {self.former.path}, such as {some_of(paths[:1])}, are named from another folder; run"
                f" this in the folder that it was made in, as in cd {beside}"
            )


def answers_before(
    update: Update,
    items: Sequence[ImageItem],
    provenance: Provenance,
    *,
    model: Model,
    run: Callable[..., Iterator[Event]],
) -> Generator[Event, None, Mapping[str, tuple[str, ...]] | None]:
    """What the model says by the settings of an output that was edited, if these are others; by path.

    `run` labels images by settings, with a `model` that is open already or without. Raises `UsageError` if the labels
    cannot be had again: then nothing tells which are a person's.
    """
    former = update.former
    if former is None or not former.edited:
        return None
    before = former.manifest.provenance
    if not differences(before, provenance):
        return None
    said_before: dict[str, tuple[str, ...]] = {}
    settings = _settings_before(former, items, embeddings=provenance.settings.get("embeddings"))
    is_asked = settings.inputs or settings.embeddings
    for event in run(settings, model=model if before.model == model.asked else None) if is_asked else ():
        check_model(former, event)
        if isinstance(event, RowsPlanned):
            # The same embeddings may be in another file by now.
            settings_now = {**event.provenance.settings, "embeddings": before.settings.get("embeddings")}
            others = differences(before, replace(event.provenance, kept=before.kept, settings=settings_now))
            if others:
                raise _not_told(former, others)
        elif isinstance(event, RowsReady):
            said_before |= {original(row.path): said(row, several=settings.multi_label) for row in event.rows}
        elif isinstance(event, Loading | Downloading):
            yield event
    return said_before


def _settings_before(former: Former, items: Sequence[ImageItem], *, embeddings: str | None) -> ClassifySettings:
    """The settings that the rows of an output were made with, for those of its images that are still there.

    With `embeddings` these are the images, and not `items`.
    """
    provenance = former.manifest.provenance
    paths = {original(row.path) for row in former.rows}
    labels = None if provenance.classifier else {one["label"]: _names_of(one) for one in provenance.classes}
    others = {"labels": labels, "keep_columns": (), "max_images": None, "sample": None, "exclude": ()}
    inputs = tuple(item for item in items if original(item.id) in paths)
    return ClassifySettings(**{**provenance.settings, **others, "inputs": inputs, "embeddings": embeddings})


def check_model(former: Former, event: Event) -> None:
    """Raise `UsageError` if an output was edited, and its model is no longer there to tell what a person changed."""
    before = former.manifest.model
    if not former.edited or before is None or not isinstance(event, ModelLoaded | ModelKnown) or event.record is None:
        return
    different = differences_of_models(replace(before, device=None), event.record)
    if different:
        raise _not_told(former, different)


def _not_told(former: Former, different: Sequence[str]) -> UsageError:
    """The error for an edited output whose rows cannot be made again as they were."""
    return UsageError(
        f"{former.path} was edited since it was written, and it cannot be made again as it was: {'; '.join(different)};"
        " so nothing tells which labels are a person's. Undo that, run --update, and make the change then"
    )


def _names_of(one: Mapping[str, object]) -> dict[str, object]:
    return {name: one[name] for name in ("aliases", "descriptions") if one[name]}


def said(row: Row, *, several: bool) -> tuple[str, ...]:
    """The labels by which two rows say the same: the best, or with `several` all, in any order."""
    return tuple(sorted(row.labels)) if several else row.labels[:1]
