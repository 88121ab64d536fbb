"""`clipcli calibrate`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from clipcli.cli import exit_codes
from clipcli.cli.flags import FlagValues, Terminal, flags_of, settings_of
from clipcli.cli.garbage import pause_collector
from clipcli.cli.unknown_threshold import threshold_in_words
from clipcli.commands.calibrate.settings import CalibratedFile, CalibrateSettings
from clipcli.events import result_of
from clipcli.outputs.check import check_classifier
from clipcli.settings import to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clipcli.records import Skipped
    from clipcli.scoring.calibration import Calibration, Quality
    from clipcli.scoring.classifier import Classifier

EXAMPLES = (
    "clipcli calibrate photos-by-class --labels 'cat, dog' --model tiny",
    "clipcli calibrate photos.csv --labels labels.csv -o calibrated.safetensors",
)
_SKIPPED_SHOWN = 3


@flags_of(CalibrateSettings, CalibratedFile)
def command(flags: FlagValues, terminal: Terminal) -> int:
    """Calibrate a classifier with a few labelled images: of its scores of 0.8, about 80 % are then right.

    A temperature, a temperature with a bias for each label, or nothing is chosen by cross-validation, and stored in the
    classifier, for classify and evaluate --classifier. For several labels an image it is a bias, or one for each label,
    and a threshold. An image that cannot be read does not count, and the command ends with exit code 3.
    """
    settings, file = settings_of(flags, terminal, CalibrateSettings, CalibratedFile)
    if terminal.show_config:
        print(to_yaml(settings, file), end="")
        return exit_codes.DONE
    reads = [settings.data, settings.classifier, settings.labels, settings.prompts, settings.model, terminal.config]
    check_classifier(file.output, reads, overwrite=file.overwrite)
    from clipcli.cli.display import Display

    with Display(quiet=terminal.quiet, verbose=terminal.verbose) as display, pause_collector(display.show) as show:
        from clipcli.commands.calibrate.run import run

        calibrated = result_of(run(settings), show=show)
        calibrated.classifier.save(file.output)
    said = _said_of_several if settings.multi_label else _said
    for line in (*said(calibrated.classifier), *_of_skipped(calibrated.skipped)):
        display.say(line)
    several = " --multi-label" if settings.multi_label else ""
    display.say(f"{file.output}: use it with clipcli classify PHOTOS --classifier {shlex.quote(file.output)}{several}")
    return exit_codes.SOME_SKIPPED if calibrated.skipped else exit_codes.DONE


def _said(classifier: Classifier) -> Iterator[str]:
    """What was chosen and why, and how true the scores are before and after."""
    calibration = classifier.calibration
    if calibration is None:
        return
    count = len(classifier.labels)
    labels = f"{count:,} labels" if calibration.labels == count else f"{calibration.labels:,} of {count:,} labels"
    images = f"{calibration.images:,} images of {labels}"
    yield from threshold_in_words(calibration.unknown_at, nones=calibration.nones)
    if calibration.changes_nothing:
        yield (
            "Doing nothing is best: no temperature, and no bias for each label, fits images that it was not fitted to"
            " better than the scores as they are, by more than one standard error."
        )
        yield f"Calibration error on {images}: {_error(calibration.before)}."
        return
    yield (
        f"Chosen: {_chosen(calibration, classifier.labels)}; it fits images that it was not fitted to better than the"
        " scores as they are, by more than one standard error."
    )
    yield (
        f"Calibration error by cross-validation on {images}: {_error(calibration.before)} before,"
        f" {_error(calibration.after)} after."
    )
    if calibration.biases is not None:
        yield (
            f"The biases change labels: {calibration.before.top1:.1%} were right, {calibration.after.top1:.1%} are."
            " They hold where each label is about as frequent as it is in these images."
        )


def _said_of_several(classifier: Classifier) -> Iterator[str]:
    """As `_said`, for several labels an image."""
    calibration = classifier.several
    if calibration is None:
        return
    images = f"{calibration.images:,} images"
    if calibration.biases is None:
        yield (
            "Doing nothing is best: no bias and threshold gives images that they were not fitted to better labels, by"
            " more than one standard error."
        )
        yield f"F1 (micro) on {images}: {calibration.before:.1%}."
        return
    biases = "a bias for each label" if calibration.own_biases else "one bias for all labels"
    yield f"Chosen: {biases}, and a threshold of {calibration.threshold:.2f}; scores are now probabilities."
    yield f"F1 (micro) by cross-validation on {images}: {calibration.before:.1%} before, {calibration.after:.1%} after."


def _chosen(calibration: Calibration, labels: Sequence[str]) -> str:
    temperature = f"a temperature of {calibration.temperature:.2f}"
    if calibration.biases is None:
        return f"{temperature}, which changes scores and no label"
    by_bias = sorted(zip(calibration.biases, labels, strict=True))
    (least, lowest), (most, highest) = by_bias[0], by_bias[-1]
    few = calibration.biases.count(0)
    without = f" ({few:,} {'has' if few == 1 else 'have'} too few images for one)" if few else ""
    span = f"from {least:+.2f} for '{lowest}' to {most:+.2f} for '{highest}'"
    return f"{temperature} and a bias for each label{without}, {span}"


def _error(quality: Quality) -> str:
    return f"{quality.ece:.1%} [{quality.ece_low * 100:.1f}, {quality.ece_high * 100:.1f}]"


def _of_skipped(skipped: Sequence[Skipped]) -> Iterator[str]:
    if skipped:
        first = "; ".join(f"{entry.item.id}: {entry.reason}" for entry in skipped[:_SKIPPED_SHOWN])
        more = f"; and {len(skipped) - _SKIPPED_SHOWN:,} more" if len(skipped) > _SKIPPED_SHOWN else ""
        yield f"{len(skipped):,} {'image' if len(skipped) == 1 else 'images'} left out: {first}{more}"
