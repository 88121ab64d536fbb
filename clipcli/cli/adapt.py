"""`clipcli adapt`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import pause_collector
from clipcli.cli.unknown_threshold import threshold_in_words
from clipcli.commands.adapt.settings import AdaptedFile, AdaptSettings
from clipcli.events import Warned, result_of
from clipcli.outputs.check import check_classifier
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clipcli.scoring.adaptation import Adaptation
    from clipcli.scoring.classifier import Classifier

EXAMPLES = (
    "clipcli adapt --corrections corrections.csv --classifier classes.safetensors -o better.safetensors",
    "clipcli adapt --corrections corrections.csv --labels 'cat, dog' --model tiny",
)
_SHOWN = 3


@flags_of(AdaptSettings, AdaptedFile)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Adapt a classifier to corrections: a few for each label make more labels right, in seconds.

    It is a classifier as any other, for classify, evaluate and calibrate --classifier. Labels without a correction keep
    their text, and images of none of the labels teach classify --unknown its threshold. How many labels are right
    before and after is told by cross-validation. An image that cannot be read does not count, and the command ends with
    exit code 3.
    """
    settings, file = settings_of(flags, terminal, AdaptSettings, AdaptedFile)
    if terminal.show_config:
        print(to_yaml(settings, file), end="")
        return exit_codes.DONE
    reads = [*settings.corrections, settings.classifier, settings.labels, settings.prompts, settings.model]
    check_classifier(file.output, [*reads, terminal.config], overwrite=file.overwrite)
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.adapt.run import run

        done = result_of(run(settings), show=show)
        done.classifier.save(file.output)
        adaptation = done.classifier.adaptation
        if adaptation is not None:
            for line in _said(adaptation, done.classifier):
                display.say(line)
            doubt = _doubt(adaptation)
            if doubt is not None:
                show(Warned(doubt))
    if done.skipped:
        first = "; ".join(f"{entry.item.id}: {entry.reason}" for entry in done.skipped[:_SHOWN])
        more = f"; and {len(done.skipped) - _SHOWN:,} more" if len(done.skipped) > _SHOWN else ""
        display.say(f"{len(done.skipped):,} {'image' if len(done.skipped) == 1 else 'images'} left out: {first}{more}")
    display.say(f"{file.output}: use it with clipcli classify PHOTOS --classifier {shlex.quote(file.output)}")
    return exit_codes.SOME_SKIPPED if done.skipped else exit_codes.DONE


def _said(adaptation: Adaptation, classifier: Classifier) -> Iterator[str]:
    """What it learned from, and how many labels are right before and after."""
    if adaptation.images:
        count, own = len(classifier.labels), len(adaptation.by_class)
        few = min(adaptation.by_class, key=lambda label: adaptation.by_class[label])
        rest = f"; the other {count - own:,} keep their text" if count > own else ""
        yield (
            f"Learned from {adaptation.images:,} correction{'' if adaptation.images == 1 else 's'}"
            f" of {own:,} of {count:,} labels ('{few}' has the fewest, {adaptation.by_class[few]:,}){rest}."
        )
    found = adaptation.accuracy
    if found is not None:
        yield (
            f"Right by cross-validation: {found.before:.1%} before, {found.after:.1%} after,"
            f" {found.gain * 100:+.1f} points [{found.low * 100:+.1f}, {found.high * 100:+.1f}]. This is of the"
            " corrected images: where those were the doubtful ones, more of all images are right."
        )
        if found.is_better:
            yield "The whole interval is above 0, so the new classifier is recommended."
    elif adaptation.text_trust < 1:
        yield "By the images without labels, corrections label better than the text does, so that it counts for less."
    yield from threshold_in_words(adaptation.unknown_at, nones=adaptation.nones)


def _doubt(adaptation: Adaptation) -> str | None:
    """Why the new classifier is not recommended; `None` if it is, or if labels are what they were."""
    if not adaptation.images:
        return None
    if adaptation.accuracy is None:
        return "these are too few corrections to tell whether the new classifier is better; review more images"
    if not adaptation.accuracy.is_better:
        return (
            "it is not sure that the new classifier is better, as the interval reaches 0; keep the one it came from, or"
            " review more images"
        )
    return None
