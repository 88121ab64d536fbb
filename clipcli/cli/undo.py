"""`clipcli undo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.left_alone import left_alone
from clipcli.commands.undo.settings import UndoSettings
from clipcli.events import result_of
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clipcli.commands.undo.run import UndoResult

EXAMPLES = (
    "clipcli undo sorted/clipcli-journal-20260101-120000.jsonl",
    "clipcli undo clipcli-journal-20260101-120500.jsonl",
)


@flags_of(UndoSettings)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Bring back what a command did to files, from the journal that it wrote: all of it, also if it was killed.

    What somebody changed since is neither removed nor replaced; it is named, and the command ends with exit code 3.
    """
    [settings] = settings_of(flags, terminal, UndoSettings)
    if terminal.show_config:
        print(to_yaml(settings), end="")
        return exit_codes.DONE
    from clipcli.cli.display import Display
    from clipcli.commands.undo.run import run

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display:
        try:
            result = result_of(run(settings), show=display.show)
        except KeyboardInterrupt:
            display.say("Stopped. What is not undone yet is undone by the same command.")
            return exit_codes.INTERRUPTED
    for line in _said(result):
        display.say(line)
    return exit_codes.SOME_SKIPPED if result.left else exit_codes.DONE


def _said(result: UndoResult) -> Iterator[str]:
    """What was undone, and what was left with the reasons."""
    from clipcli.actions.undo import KINDS

    counts = [
        f"{count:,} {KINDS[kind].one if count == 1 else KINDS[kind].many}" for kind, count in result.undone.items()
    ]
    if counts:
        yield f"Undone: {', '.join(counts)}."
    elif result.before and not result.left:
        yield "Nothing to undo: it was undone before."
    else:
        yield "Nothing was undone." if result.left else "Nothing to undo: nothing that was done is still there."
    yield from left_alone([(one.step.target, one.left or "") for one in result.left])
