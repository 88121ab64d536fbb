"""`clipcli embed`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import pause_collector
from clipcli.commands.embed.settings import EmbeddingsFile, EmbedSettings
from clipcli.errors import OutputExists, UsageError
from clipcli.events import result_of
from clipcli.outputs import STDOUT
from clipcli.outputs.check import check_is_not_read, check_output
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from clipcli.outputs.embeddings import Embeddings

EXAMPLES = (
    "clipcli embed photos -o photos.parquet --model tiny",
    "clipcli embed --texts captions.txt -o captions.npy --model tiny",
)
_SKIPPED_SHOWN = 3


@flags_of(EmbedSettings, EmbeddingsFile)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Embed images, or texts, into a file that other tools read, and clipcli classify takes in place of the images.

    The file has a row for each image that can be read, in input order, with its path. If some cannot be read, they are
    listed in the file, and the command ends with exit code 3.
    """
    settings, file = settings_of(flags, terminal, EmbedSettings, EmbeddingsFile)
    if terminal.show_config:
        print(to_yaml(settings, file), end="")
        return exit_codes.DONE
    format = _checked_format(settings, file)
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.embed.run import run

        found = result_of(run(settings), show=show)
        found.save(file.output, format)
    if found.skipped:
        display.say(_of_skipped(found), style="yellow")
    count, dimensions = found.embeddings.shape
    display.say(f"{file.output}: the embeddings of {count:,} {found.of}, {dimensions} numbers each, of length 1.")
    return exit_codes.SOME_SKIPPED if found.skipped else exit_codes.DONE


def _checked_format(settings: EmbedSettings, file: EmbeddingsFile) -> str:
    """The format of the output, once it was checked that it can be written."""
    from clipcli.outputs.embeddings import choose_format, paths_of

    if file.output == STDOUT:
        raise UsageError("embeddings cannot go to standard output; give --output FILE")
    format = choose_format(file.output, file.format)
    if format == "clip-retrieval":
        if os.path.exists(file.output) and (not os.path.isdir(file.output) or os.listdir(file.output)):
            raise OutputExists(f"{file.output} exists; give a folder that is new or empty")
        return format
    inputs = [one for one in settings.inputs if isinstance(one, str) and not os.path.isdir(one)]
    for path in paths_of(file.output, format):
        check_is_not_read(path, [*inputs, settings.texts])
        check_output(str(path), overwrite=file.overwrite)
    return format


def _of_skipped(found: Embeddings) -> str:
    """How many images have no row, and the first of them."""
    first = "; ".join(f"{one.id}: {one.reason}" for one in found.skipped[:_SKIPPED_SHOWN])
    count = len(found.skipped)
    more = f"; and {count - _SKIPPED_SHOWN:,} more" if count > _SKIPPED_SHOWN else ""
    return f"{count:,} {'image has' if count == 1 else 'images have'} no row: {first}{more}"
