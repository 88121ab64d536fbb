"""`clipcli build-classifier`."""

from __future__ import annotations

from typing import Annotated

import typer

from clipcli.cli import options
from clipcli.errors import UsageError
from clipcli.events import result_of
from clipcli.outputs import STDOUT
from clipcli.outputs.check import check_output


def command(
    labels: options.Labels = None,
    prompts: options.Prompts = None,
    model: options.Model = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where the classifier goes.")
    ] = "classes.safetensors",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    no_cache: options.NoCache = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compute and cache the class embeddings of some labels, and write them to a file for classify --classifier.

    Classes that were encoded before, with this model and these prompts, come from the cache.
    """
    if labels is None:
        raise UsageError("no labels were given; give --labels FILE")
    if output == STDOUT:
        raise UsageError("a classifier cannot go to standard output; give --output FILE")
    check_output(output, overwrite=overwrite)
    from clipcli.cli.display import Display

    with Display(quiet=quiet, verbose=verbose) as display:
        from clipcli.commands.build_classifier.run import run

        events = run(labels, prompts=prompts, model=model, device=device, precision=precision, use_cache=not no_cache)
        classifier = result_of(events, show=display.show)
        classifier.save(output)
    count, dimensions = classifier.class_embeddings.shape
    display.say(f"{output}: {count:,} classes of {dimensions} dimensions, prompts {classifier.prompts}.")
    display.say(f"Use it: clipcli classify PHOTOS --classifier {output}")
