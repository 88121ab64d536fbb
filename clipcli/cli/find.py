"""`clipcli find`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import pause_collector
from clipcli.commands.find.settings import FindSettings, Found
from clipcli.errors import UsageError
from clipcli.events import result_of
from clipcli.outputs.check import check_page
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from clipcli.commands.find.run import Finding

EXAMPLES = (
    "clipcli find 'a dog on a beach' photos --model tiny",
    "clipcli find --duplicates photos --model tiny",
)
_SKIPPED_SHOWN = 3


@flags_of(FindSettings, Found)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Find photos by words, by other photos, or by both: paths on standard output, the best first.

    Images that were not embedded before are embedded first, and kept. A folder is then searched by an index, which
    notices images that are new, changed or gone. If some cannot be read, the command ends with exit code 3.
    """
    settings, found = settings_of(flags, terminal, FindSettings, Found)
    if terminal.show_config:
        print(to_yaml(settings, found), end="")
        return exit_codes.DONE
    _check(settings, found)
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.find.run import run

        finding = result_of(run(settings), show=show)
        if found.html is not None:
            from clipcli.commands.find.page import write_found

            for event in write_found(found.html, finding, settings):
                show(event)
    _print(finding, found)
    from clipcli.commands.find.words import told

    display.say(told(finding, duplicates=settings.duplicates))
    if finding.skipped:
        first = "; ".join(f"{entry.item.id}: {entry.reason}" for entry in finding.skipped[:_SKIPPED_SHOWN])
        count = len(finding.skipped)
        more = f"; and {count - _SKIPPED_SHOWN:,} more" if count > _SKIPPED_SHOWN else ""
        display.say(f"{count:,} {'image' if count == 1 else 'images'} left out: {first}{more}", style="yellow")
    if found.html is not None:
        display.say(f"{found.html}: a page of the photos to look through in a browser.")
    return exit_codes.SOME_SKIPPED if finding.skipped else exit_codes.DONE


def _check(settings: FindSettings, found: Found) -> None:
    """Raise `UsageError` for what does not go together, and as `check_page`."""
    if found.json and found.null:
        raise UsageError("--json prints lines, and --null ends paths without one; drop one of them")
    if settings.duplicates and found.null:
        raise UsageError("--null has no way to tell groups apart; give --json with --duplicates")
    if found.html is not None:
        inputs = [one for one in (*settings.inputs, *settings.like) if isinstance(one, str) and not os.path.isdir(one)]
        check_page(found.html, inputs, overwrite=found.overwrite, flag="--html")


def _print(finding: Finding, found: Found) -> None:
    """Print paths or lines of JSON; names that are not UTF-8 go out as they are."""
    lines = _json_lines(finding) if found.json else _paths(finding)
    end = "\0" if found.null else "\n"
    sys.stdout.flush()
    out = getattr(sys.stdout, "buffer", None)
    for line in lines:
        if out is None:
            sys.stdout.write(line + end)
        else:
            out.write((line + end).encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


def _paths(finding: Finding) -> Iterator[str]:
    """The paths; between groups of duplicates is an empty line."""
    for hit in finding.hits:
        yield hit.path
    for n, same in enumerate(finding.groups):
        yield from [""] if n else []
        yield from (photo.path for photo in same.photos)


def _json_lines(finding: Finding) -> Iterator[str]:
    for hit in finding.hits:
        yield json.dumps({"path": hit.path, "score": round(hit.score, 6)})
    for n, same in enumerate(finding.groups, 1):
        for place, photo in enumerate(same.photos):
            about = {name: getattr(photo, name) for name in ("path", "width", "height", "size", "copy_of")}
            yield json.dumps({"group": n, "best": place == 0} | about)
