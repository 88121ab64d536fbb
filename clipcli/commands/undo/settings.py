"""The settings of `undo`."""

from __future__ import annotations

from clipcli.settings import AsTexts, Settings, record, setting


@record
class UndoSettings(Settings):
    """What to undo."""

    command = "undo"

    journals: AsTexts = setting(
        kw_only=False,
        group="what",
        metavar="JOURNAL",
        argument=True,
        missing="no JOURNAL was given; give the clipcli-journal-….jsonl that the command wrote",
    )
    """The journal, a file such as sorted/clipcli-journal-20260101-120000.jsonl: the command that wrote it has named
    it. Of several the newest is undone first."""
