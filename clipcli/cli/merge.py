"""`clipcli merge`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from clipcli.cli import clock, exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.commands.merge.settings import MergedFile, MergeSettings
from clipcli.events import RowsReady
from clipcli.outputs.check import check_is_not_read, check_output, choose_format, is_stream
from clipcli.outputs.remote import forget, writing
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from clipcli.cli.classify_summary import Summary
    from clipcli.cli.display import Display
    from clipcli.commands.merge.run import Merging

EXAMPLES = (
    "clipcli merge predictions-0-of-2.csv predictions-1-of-2.csv",
    "clipcli merge 'part-*-of-1000.parquet' -o all.csv",
)


@flags_of(MergeSettings, MergedFile)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Merge the outputs of all shards of a run: the file is the one that a single process would have written.

    A shard that is missing, there twice, not finished, or made with another model or other settings is an error, which
    says what to do. With images that could not be read the command ends with exit code 3, as classify does.
    """
    settings, file = settings_of(flags, terminal, MergeSettings, MergedFile)
    if terminal.show_config:
        print(to_yaml(settings, file), end="")
        return exit_codes.DONE
    format = choose_format(file.output, file.format)
    check_is_not_read(file.output, settings.parts)
    check_output(file.output, overwrite=file.overwrite, manifest=True, addresses=True)
    from clipcli.cli.classify_rows import keep_corrections
    from clipcli.cli.display import Display
    from clipcli.commands.merge.run import read

    lock = nullcontext() if is_stream(file.output) else writing(file.output)
    with lock, Display(quiet=terminal.quiet, verbose=terminal.verbose) as display:
        merging = read(settings, format=format)
        check_is_not_read(file.output, [part.path for part in merging.parts])
        keep_corrections(file, display)
        summary = _write(merging, file, display, format=format)
        for part in merging.parts:
            forget(part.path)
    summary.show_counts(display)
    rows, count = summary.tally.rows, len(merging.parts)
    display.say()
    display.say(f"{summary.output}: {rows:,} rows of {count:,} shards in {clock.seconds():.1f} s.")
    return summary.exit_code()


def _write(merging: Merging, file: MergedFile, display: Display, *, format: str) -> Summary:
    """Write the rows; returns their counts."""
    from clipcli.cli.classify_summary import Summary, answers_of
    from clipcli.commands.merge.run import run
    from clipcli.outputs.open import Output

    summary = Summary(file.output, **answers_of(merging.manifest.provenance.settings))
    with Output(
        file.output,
        format=format,
        schema=merging.schema,
        manifest=merging.manifest,
        overwrite=file.overwrite,
        # Half a merge is of no use, and would replace a whole output.
        can_resume=False,
        at_least=merging.manifest.provenance.images,
    ) as output:
        for event in run(merging):
            if isinstance(event, RowsReady):
                output.write(event.rows)
            summary.add(event)
            display.show(event)
    return summary
