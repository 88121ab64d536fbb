"""Writes labels as keywords into sidecars or photos, after a plan, and takes them out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from clipcli.actions.exiftool import check_exiftool, exiftool
from clipcli.actions.failed import Failed
from clipcli.actions.journal import Journal
from clipcli.actions.labelled import read_labelled
from clipcli.actions.replace import Keeper
from clipcli.actions.undo import settle
from clipcli.commands.tag.changes import SAME, Change, apply, changes_of_photos, changes_of_sidecars
from clipcli.commands.tag.photos import photos_of
from clipcli.commands.tag.settings import TagSettings
from clipcli.errors import UsageError
from clipcli.events import Event, FilesActedOn, result_of
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.settings import Show, api


@dataclass(frozen=True, slots=True)
class Tagged:
    """What tagging does, or with `apply` did: for each file its kind of change, and the labels that it gets.

    `changes` are in the order of the photos; their `kind` is `new`, `changed`, `removed` or `same`. `failed` are the
    files that cannot be changed, with the reasons. `left` is the number of images that are left out: those with an
    error, in archives, or gone. `journal` is the file to undo it with, `None` if nothing was changed.
    """

    changes: tuple[Change, ...]
    failed: tuple[Failed, ...]
    left: int
    journal: Path | None

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of files by kind of change."""
        return Counter(change.kind for change in self.changes)


@api(TagSettings)
def tag(settings: TagSettings, show: Show) -> Tagged:
    """Write the labels of an output as keywords into XMP sidecars, or with `embed` into the photos.

    Without `apply` nothing is written, and the result is the plan. Labels become keywords where photo programs read
    them: `dc:subject`, and for labels in groups `lr:hierarchicalSubject` and `digiKam:TagsList`; what else is in a
    sidecar stays, byte for byte. A second call changes nothing, and one with other labels replaces the keywords that
    were added before, and no others. `untag` takes these out. `undo` with the `journal` of the result brings all files
    back as they were.

    Raises the errors of `clipcli.errors`; `MissingExtra` if ExifTool is not installed, for `embed`.
    """
    return result_of(run(settings), show=show)


def run(options: TagSettings) -> Generator[Event, None, Tagged]:
    """As `tag`, with its events. Raises `OutputFailed` where nothing more can be written, as on a disk that is full."""
    _check(options)
    folder = Path(options.predictions).absolute().parent
    if options.apply:
        # A step that a kill left halfway is taken back first.
        settle(folder, command=options.command)
    notices = Notices()
    photos, left = photos_of(read_labelled(options.predictions, notices), options, notices)
    memory = open_memory(cache=options.embed)
    changes, failed, keeper = list[Change](), list[Failed](), None
    with ExitStack() as stack:
        if options.embed:
            found = changes_of_photos(photos, stack.enter_context(exiftool()), memory)
        else:
            found = changes_of_sidecars(photos, options.sidecars, notices)
        for number, one in enumerate(found, 1):
            if options.apply and isinstance(one, Change) and one.kind != SAME:
                if keeper is None:
                    keeper = Keeper(stack.enter_context(Journal.create(folder, command=options.command)))
                one = apply(one, keeper)
            if isinstance(one, Change):
                changes.append(one)
            else:
                failed.append(one)
            yield FilesActedOn(number, max(number, len(photos)))
        if keeper is not None:
            keeper.journal.end()
    yield from memory.warnings()
    yield from notices.events()
    return Tagged(tuple(changes), tuple(failed), left, keeper.journal.path if keeper else None)


def _check(options: TagSettings) -> None:
    """Raise `UsageError` for settings that do not fit together, and `MissingExtra`."""
    if options.embed:
        check_exiftool()
        if options.sidecars != "auto":
            raise UsageError("--embed writes no sidecars; drop it or --sidecars")
    given = {"--min-score": options.min_score, "--top-k": options.top_k, "--under": options.under}
    flags = [flag for flag, value in given.items() if value is not None]
    if options.untag and flags:
        raise UsageError(f"--untag takes out all that was written before, whatever its label; drop {flags[0]}")
