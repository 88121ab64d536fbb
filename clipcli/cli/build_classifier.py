"""`clipcli build-classifier`."""

from __future__ import annotations

import shlex

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import pause_collector
from clipcli.commands.build_classifier.settings import BuildClassifierSettings, ClassifierFile
from clipcli.events import result_of
from clipcli.outputs.check import check_classifier
from clipcli.settings import to_yaml

EXAMPLES = (
    "clipcli build-classifier --labels labels.txt",
    "clipcli build-classifier --labels 'cat, dog' --model tiny -o pets.safetensors",
)


@flags_of(BuildClassifierSettings, ClassifierFile)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Compute and cache the class embeddings of some labels, and write them to a file for classify --classifier.

    Classes that were encoded before, with this model and these prompts, come from the cache. If some images of
    --refine-on cannot be read, the command ends with exit code 3.
    """
    settings, file = settings_of(flags, terminal, BuildClassifierSettings, ClassifierFile)
    if terminal.show_config:
        print(to_yaml(settings, file), end="")
        return exit_codes.DONE
    reads = [settings.labels, settings.prompts, settings.model, terminal.config, *settings.refine_on]
    check_classifier(file.output, reads, overwrite=file.overwrite)
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.build_classifier.run import run

        built = result_of(run(settings), show=show)
        classifier = built.classifier
        classifier.save(file.output)
    count, dimensions = classifier.class_embeddings.shape
    made = f"{count:,} classes of {dimensions} dimensions, prompts {classifier.prompts}, not calibrated"
    display.say(f"{file.output}: {made}.")
    if classifier.refined_on is not None:
        display.say(f"It is refined on {classifier.refined_on:,} images.")
    display.say(f"Use it: clipcli classify PHOTOS --classifier {shlex.quote(file.output)}")
    return exit_codes.SOME_SKIPPED if built.skipped else exit_codes.DONE
