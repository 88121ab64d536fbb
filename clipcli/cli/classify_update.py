"""`clipcli classify --update`: checks its settings, reads what it brings up to date, and goes on with `--watch`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from clipcli.commands.classify.settings import ClassifySettings, RowsFile
from clipcli.data.file_names import suffix_of
from clipcli.errors import InputNotFound, OutputChanged, UsageError
from clipcli.events import Event, Later, Warned
from clipcli.notices import Notices
from clipcli.outputs.check import is_stream
from clipcli.outputs.corrections import COLUMNS
from clipcli.outputs.former import find_former

if TYPE_CHECKING:
    from clipcli.cli.classify_summary import Summary
    from clipcli.cli.display import Display
    from clipcli.cli.garbage import Show
    from clipcli.commands.classify.update import Update

_CONFLICTS_SHOWN = 20


def check_update(settings: ClassifySettings, file: RowsFile) -> None:
    """Raise `UsageError` for settings that do not fit together with `--update`, or do nothing without it."""
    if not file.update:
        others = {"--corrections": file.corrections, "--keep-missing": file.keep_missing, "--watch": file.watch}
        for flag, is_given in others.items():
            if is_given:
                raise UsageError(f"{flag} says how an output is brought up to date; give --update as well, or drop it")
        return
    if is_stream(file.output):
        raise UsageError(
            f"--update needs an output that can be read again, which {file.output} cannot; give --output FILE"
        )
    excluded = {
        "--resume": (file.resume, "--update goes on with the rows there are as well, and keeps what still holds"),
        "--overwrite": (file.overwrite, "--update keeps what still holds of the rows there are"),
        "--no-manifest": (not file.manifest, "--update tells by the manifest what a person changed"),
        "--max-images": (settings.max_images is not None, "--update would drop the rows of all other images"),
        "--sample": (settings.sample is not None, "--update would drop the rows of all other images"),
        "--embeddings": (file.watch and settings.embeddings is not None, "--watch waits for images in folders"),
        "--report": (file.watch and file.report is not None, "--watch has no end at which a page could be written"),
    }
    for flag, (is_given, why) in excluded.items():
        if is_given:
            raise UsageError(f"{why}; drop {flag}, or {why.split()[0]}")
    _check_no_corrections_among(settings)
    if file.watch:
        from clipcli.commands.classify.watch import check_watch

        check_watch(settings.inputs)


def _check_no_corrections_among(settings: ClassifySettings) -> None:
    """Raise `UsageError` for a file of corrections among the inputs, as a second one after `--corrections` would be."""
    for text in settings.inputs:
        if isinstance(text, str) and suffix_of(text) == ".csv" and os.path.isfile(text):
            with open(text, "rb") as stream:
                header = stream.readline().decode("utf-8-sig", "replace").strip()
            if header.split(",")[0] == COLUMNS[0] and header.endswith(COLUMNS[-1]):
                raise UsageError(f"{text} among the inputs is a file of corrections; give --corrections {text}")


def read_update(file: RowsFile, display: Display, *, unfinished: frozenset[str] = frozenset()) -> Update:
    """The output as it is and the corrections; says what is odd about both. Raises as their readers."""
    from clipcli.commands.classify.update import Update
    from clipcli.outputs.corrections import read_corrections

    notices = Notices()
    former = find_former(file.output, notices)
    corrections = read_corrections(file.corrections, notices)
    for conflict in corrections.conflicts[:_CONFLICTS_SHOWN]:
        display.show(Warned(conflict.in_words()))
    if len(corrections.conflicts) > _CONFLICTS_SHOWN:
        display.show(
            Warned(f"{len(corrections.conflicts):,} corrections differ between the files; these are the first")
        )
    for event in notices.events():
        display.show(event)
    return Update(former=former, corrections=corrections, keep_missing=file.keep_missing, unfinished=unfinished)


def show_warnings(event: Event, *, show: Show) -> None:
    """Show an event only if it warns or leaves work: what else there is to say was said at first."""
    if isinstance(event, Warned | Later):
        show(event)


class BringUpToDate(Protocol):
    """Brings the output up to date, and returns the summary; all events of the first time are shown."""

    def __call__(self, update: Update, *, first: bool) -> Summary: ...


def watch(settings: ClassifySettings, file: RowsFile, display: Display, *, bring_up_to_date: BringUpToDate) -> None:
    """Bring the output up to date whenever images arrive, change or go, with a line each time; ends by Ctrl-C alone.

    An output that was saved during an update is brought up to date again at once.
    """
    from clipcli.commands.classify.watch import due

    folders = [text for text in settings.inputs if isinstance(text, str)]
    last: Summary | None = None
    for unfinished in due(folders):
        summary: Summary | None = None
        while summary is None:
            update = read_update(file, display, unfinished=unfinished)
            try:
                summary = bring_up_to_date(update, first=last is None)
            except OutputChanged:
                display.say(f"{file.output} was changed meanwhile, as by hand; it is brought up to date again.")
            except InputNotFound as e:
                # A folder may be empty for a while.
                if not all(map(os.path.isdir, folders)):
                    raise
                display.say(f"{e}; waiting for images.")
                break
        if summary is None:
            continue
        if last is None or summary.did_something(since=last):
            display.say(summary.of_update())
        last = summary
