"""`clipcli tag`."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.left_alone import left_alone
from clipcli.commands.tag.settings import PlanShown, TagSettings
from clipcli.events import result_of
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clipcli.commands.tag.run import Tagged

EXAMPLES = (
    "clipcli tag predictions.csv",
    "clipcli tag predictions.csv --min-score 0.6 --apply",
)
_LABELS_SHOWN = 7
# A number of files by kind of change, as planned and as done, with and without `embed`.
_SAID = {
    "new": ("{} new", "{} written"),
    "changed": ("{} to change", "{} changed"),
    "removed": ("{} to remove", "{} removed"),
    "same": ("{} unchanged", "{} unchanged"),
}


@flags_of(TagSettings, PlanShown)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Write labels as keywords, where photo programs read them: XMP sidecars, or with --embed the photos themselves.

    Without --apply the plan is shown and nothing is written. All else that is in a sidecar stays, byte for byte, and
    keywords of your own too; --untag takes out what was written, and clipcli undo with the journal brings all back.
    """
    settings, shown = settings_of(flags, terminal, TagSettings, PlanShown)
    if terminal.show_config:
        print(to_yaml(settings, shown), end="")
        return exit_codes.DONE
    from clipcli.cli.display import Display
    from clipcli.commands.tag.run import run

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display:
        try:
            tagged = result_of(run(settings), show=display.show)
        except KeyboardInterrupt:
            display.say(
                f"Stopped. The same command goes on; clipcli undo with the journal beside {settings.predictions} brings"
                " back what was done."
            )
            return exit_codes.INTERRUPTED
    if shown.list:
        for change in tagged.changes:
            if change.kind != "same":
                print(change.kind, change.file, *change.labels, sep="\t")
    for line in _said(tagged, settings):
        display.say(line)
    return exit_codes.SOME_SKIPPED if tagged.left or tagged.failed else exit_codes.DONE


def _said(tagged: Tagged, settings: TagSettings) -> Iterator[str]:
    """What was done or is planned, with the most frequent labels, and what to do next."""
    counts, noun = tagged.counts, "photos" if settings.embed else "sidecars"
    parts = [text[settings.apply].format(f"{counts[kind]:,}") for kind, text in _SAID.items() if counts[kind]]
    begin = f"{noun.capitalize()}" if settings.apply else f"Plan for {noun}"
    yield f"{begin}: {', '.join(parts) or 'nothing to do'}."
    yield from left_alone([(failed.file, failed.reason) for failed in tagged.failed])
    labels = Counter(label for change in tagged.changes for label in change.labels)
    if labels:
        most = [f"{label} {count:,}" for label, count in labels.most_common(_LABELS_SHOWN)]
        more = len(labels) - _LABELS_SHOWN
        yield f"Labels: {', '.join(most)}{f', and {more:,} more' if more > 0 else ''}."
    if tagged.journal is not None:
        journal = os.path.join(os.path.dirname(settings.predictions), tagged.journal.name)
        yield f"To bring all back: clipcli undo {shlex.quote(journal)}"
    elif not settings.apply and counts.keys() - {"same"}:
        yield "Nothing was written yet; --apply does it."
