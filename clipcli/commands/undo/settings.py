"""The settings of `undo`."""

from __future__ import annotations

from pathlib import Path

from clipcli.settings import Reads, Settings, as_text, record, setting


@record
class UndoSettings(Settings):
    """What to undo."""

    command = "undo"

    journal: Reads[str | Path, str] = setting(
        kw_only=False,
        group="what",
        metavar="JOURNAL",
        argument=True,
        missing="no JOURNAL was given; give the clipcli-journal-….jsonl that the command wrote",
        reads=as_text,
        accepts="str | Path",
        noun="a path",
    )
    """The journal, a file such as sorted/clipcli-journal-20260101-120000.jsonl: the command that wrote it has named
    it."""
