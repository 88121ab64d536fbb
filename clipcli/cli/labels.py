"""`clipcli labels`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import pause_collector
from clipcli.commands.labels.settings import LabelsSettings
from clipcli.events import result_of
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clipcli.cli.display import Display
    from clipcli.commands.labels.findings import Finding, LabelReport, Suggested

_LABELS_SHOWN = 20
# The findings of a kind that are shown.
_FINDINGS_SHOWN = 10

EXAMPLES = (
    "clipcli labels labels.txt --images photos --model tiny",
    "clipcli labels --suggest --images photos --model tiny > labels.txt",
)


@flags_of(LabelsSettings)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Look at labels before you use them: which nearly coincide, which no image gets, and what no label says.

    Each thing found comes with one suggestion and, if there are images, what that would change in the counts. With
    --suggest, labels for images that have none are printed, one a line.
    """
    [settings] = settings_of(flags, terminal, LabelsSettings)
    if terminal.show_config:
        print(to_yaml(settings), end="")
        return exit_codes.DONE
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.labels.findings import LabelReport, images
        from clipcli.commands.labels.run import run

        found = result_of(run(settings), show=show)
    if isinstance(found, LabelReport):
        _print_report(found)
    else:
        _print_suggested(found, display)
    if found.skipped:
        are = "is left out, as it" if found.skipped == 1 else "are left out, as they"
        display.say(f"{images(found.skipped)} {are} cannot be read.", style="yellow")
    return exit_codes.SOME_SKIPPED if found.skipped else exit_codes.DONE


def _print_report(report: LabelReport) -> None:
    """The findings by kind, and the counts of the labels."""
    from clipcli.cli.columns import print_columns, printable
    from clipcli.commands.labels.findings import KINDS

    if report.counts is not None:
        by_count = sorted(report.counts.items(), key=lambda one: -one[1])
        print_columns([(f"{count:>7,}", printable(label)) for label, count in by_count[:_LABELS_SHOWN]])
        more = by_count[_LABELS_SHOWN:]
        if more:
            print(f"{sum(count for _, count in more):>7,}  all of the {len(more):,} other labels")
        print()
    for kind, heading in KINDS.items():
        _print_kind(heading, [finding for finding in report.findings if finding.kind == kind])
    if not report.findings:
        these = "this one label" if len(report.labels) == 1 else f"these {len(report.labels):,} labels"
        print(f"Nothing was found to change in {these}.")


def _print_kind(heading: str, findings: Sequence[Finding]) -> None:
    """The first findings of a kind, and how many more there are."""
    if not findings:
        return
    print(heading)
    for finding in findings[:_FINDINGS_SHOWN]:
        _print_indented(f"- {finding.says}.", more="    ")
        _print_indented(f"  {finding.suggestion}.", more="    ")
        if finding.effect is not None:
            _print_indented(f"  Effect: {finding.effect}.", more="    ")
    if len(findings) > _FINDINGS_SHOWN:
        more = len(findings) - _FINDINGS_SHOWN
        _print_indented(f"- And {more:,} more, which clipcli.labels in Python gives too.", more="    ")
    print()


def _print_suggested(suggested: Suggested, display: Display) -> None:
    """The labels on standard output, and how many images are nearest to each on standard error."""
    from clipcli.cli.columns import printable

    for label, count in suggested.counts.items():
        print(label)
        examples = ", ".join(map(printable, suggested.examples[label]))
        display.say(f"  {count:>7,}  {printable(label)}: such as {examples}")


def _print_indented(text: str, *, more: str) -> None:
    """A text on standard output, in lines that fit the terminal, if there is one."""
    import shutil
    import sys

    from clipcli.cli.columns import printable

    text = printable(text)
    if not sys.stdout.isatty():
        print(text)
        return
    from clipcli.cli.fit import wrap

    print("\n".join(wrap(text, shutil.get_terminal_size().columns, more=more)))
