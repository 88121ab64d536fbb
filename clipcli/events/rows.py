"""How images become rows: what was found, how rows will be made, the rows, and what became of an earlier output."""

from __future__ import annotations

from dataclasses import dataclass

from clipcli.records import Provenance, Row


@dataclass(frozen=True, slots=True)
class InputsFound:
    """The number of images of the run; `earlier` of them have rows from the run that is resumed.

    `left_out` says what of the inputs is not among them, for the summary.
    """

    count: int
    earlier: int = 0
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowsPlanned:
    """How the rows will be made: everything is read and checked, but for the model."""

    provenance: Provenance


@dataclass(frozen=True, slots=True)
class RowsReady:
    """The next rows of the output, in input order. With `earlier` they are those of the run that is resumed.

    With `missing` they are of images that are no longer there, which an update keeps.
    """

    rows: tuple[Row, ...]
    earlier: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """An output was brought up to date: what became of its rows, each counted once, `dropped` beside them.

    `kept` are as they were, `new` are of new images, `moved` of images that were elsewhere, `changed` of files with
    other content, `relabelled` of images that get another label now, and `corrected` got theirs from a person in this
    update. `missing` are of images that are gone, and kept. `loses` says that rows of images that are gone were
    dropped, or can no longer be told from the model's, that a person may have corrected.
    """

    kept: int = 0
    new: int = 0
    moved: int = 0
    changed: int = 0
    dropped: int = 0
    corrected: int = 0
    relabelled: int = 0
    missing: int = 0
    loses: bool = False


@dataclass(frozen=True, slots=True)
class Refined:
    """The classifier was refined on so many images, and `changed` of them got another label.

    `reason` says why it was left alone; then none was changed.
    """

    images: int
    changed: int
    reason: str | None
