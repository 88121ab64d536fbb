"""`clipcli convert`."""

from __future__ import annotations

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import pause_collector
from clipcli.commands.convert.settings import ConvertSettings
from clipcli.events import result_of
from clipcli.settings import to_yaml

EXAMPLES = (
    "clipcli convert tiny --to onnx --output tiny-onnx",
    "clipcli convert RUN --to transformers --output RUN-for-transformers",
)


@flags_of(ConvertSettings)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Write a model in the form that another library reads: a folder, which all commands take as a model as well.

    That library reads it back and encodes a few images and texts. If its embeddings differ by more than 0.00001 from
    those of the model itself, nothing is left and it is an error; else the largest difference is said. A model that
    cannot have the form is refused, with the forms that it can have.
    """
    [settings] = settings_of(flags, terminal, ConvertSettings)
    if terminal.show_config:
        print(to_yaml(settings), end="")
        return exit_codes.DONE
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.convert.run import run

        done = result_of(run(settings), show=show)
    display.say(
        f"{done.folder}: {done.model} for {done.form}. As {done.read_by} reads it, no number of an embedding differs by"
        f" more than {done.difference:.1e}."
    )
    for note in done.notes:
        display.say(note + ".")
    display.say(f"Use it: {done.use}")
    return exit_codes.DONE
