"""The events that pipelines yield as they work: the command line shows them, a program may not."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from clipcli.events.later import Later
from clipcli.events.models import ClassesEncoded, Downloading, Loading, ModelKnown, ModelLoaded
from clipcli.events.progress import (
    FilesActedOn,
    ImagesCompared,
    ImagesEmbedded,
    ImagesGathered,
    PageServed,
    PhotosReviewed,
    ProbeFitted,
    ThumbnailsMade,
)
from clipcli.events.rows import InputsFound, Refined, RowsPlanned, RowsReady, Updated
from clipcli.events.said import Counted, LabelsDoubted, Noted, Warned
from clipcli.events.time_spent import TimeSpent
from clipcli.events.training import CheckpointSaved, Mixed, PairsFound, StepDone, Validated

__all__ = [
    "CheckpointSaved",
    "ClassesEncoded",
    "Counted",
    "Downloading",
    "Event",
    "FilesActedOn",
    "ImagesCompared",
    "ImagesEmbedded",
    "ImagesGathered",
    "InputsFound",
    "LabelsDoubted",
    "Later",
    "Loading",
    "Mixed",
    "ModelKnown",
    "ModelLoaded",
    "Noted",
    "PageServed",
    "PairsFound",
    "PhotosReviewed",
    "ProbeFitted",
    "Refined",
    "RowsPlanned",
    "RowsReady",
    "StepDone",
    "ThumbnailsMade",
    "TimeSpent",
    "Updated",
    "Validated",
    "Warned",
    "result_of",
]

Event = (
    Warned
    | Noted
    | Downloading
    | InputsFound
    | RowsPlanned
    | Loading
    | ModelLoaded
    | ModelKnown
    | ClassesEncoded
    | RowsReady
    | Updated
    | TimeSpent
    | ImagesEmbedded
    | ImagesCompared
    | ImagesGathered
    | Refined
    | ThumbnailsMade
    | PageServed
    | PhotosReviewed
    | ProbeFitted
    | PairsFound
    | StepDone
    | Validated
    | CheckpointSaved
    | Mixed
    | FilesActedOn
    | Later
)
Result = TypeVar("Result")


def result_of(events: Generator[Event, None, Result], *, show: Callable[[Event], None] | None = None) -> Result:
    """Run a pipeline to its end and return its result; each event is passed to `show`. Raises what it raises."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        if show is not None:
            show(event)
