"""Calibrates a classifier with labelled images."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.commands.calibrate.labelled_images import (
    check_count,
    read_images,
    read_images_of_several,
    read_unknown,
)
from clipcli.commands.calibrate.settings import CalibrateSettings
from clipcli.commands.given_classes import get_classifier, read_class_source
from clipcli.encoding.embed import embed_images
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, Noted, Warned, result_of
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.records import Skipped
from clipcli.scoring.calibration import calibration_of
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.score import cosine_of, logits_of
from clipcli.scoring.several import check_plain, log_odds
from clipcli.scoring.several_calibration import calibrate_several
from clipcli.scoring.unknown import default_threshold, learned_threshold, unknown_scores
from clipcli.settings import Show, api

# The share of labels from which on they may be the classifier's own, as those of an output that nobody corrected.
_NEARLY_ALL = 0.95


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibrated classifier, and the images that could not be used, each with the reason."""

    classifier: Classifier
    skipped: tuple[Skipped, ...]


@api(CalibrateSettings)
def calibrate(settings: CalibrateSettings, show: Show) -> Classifier:
    """Calibrate a classifier with the labelled images of `data`, so that of scores of 0.8 about 80 % are right.

    Give a `classifier` (a file, or the result of `build_classifier`), or `labels` to build it from. Returns a new
    classifier, with a `calibration` that `classify` and `evaluate` apply: a temperature, a temperature with a bias for
    each label, or nothing, whichever does best on images that it was not fitted to. `calibration.before` and
    `calibration.after` say how true the scores are. Images of none of the classes, in `unknown_folder`, teach the score
    from which on `classify(unknown=True)` calls an image unknown.

    With `multi_label`, `data` is a table of images with several labels each, and the result has `several` in place of
    `calibration`: how the scores of `classify(multi_label=True)` become probabilities, and their threshold.

    Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings), show=show).classifier


def run(options: CalibrateSettings) -> Generator[Event, None, Calibrated]:
    """As `calibrate`, with its events. Everything is read and checked before a model is loaded."""
    notices = Notices()
    source = read_class_source(options, notices)
    if options.multi_label and isinstance(source, Classifier):
        check_plain(source)
    read = read_images_of_several if options.multi_label else read_images
    images = read(options, source, notices)
    unknown = read_unknown(options, notices)
    yield from notices.events()
    yield from map(Warned, images.warnings)
    memory = open_memory(cache=options.cache, cache_size=options.cache_size)
    default_model = source.model if isinstance(source, Classifier) else DEFAULT_MODEL
    model = Model(options.model or default_model, options, memory=memory)
    items, words = (*images.items, *unknown), options.multi_label or bool(unknown)
    yield InputsFound(len(items))
    yield from memory.warnings()
    classifier = yield from get_classifier(source, items, model=model, vocabulary=words)
    yield from map(Noted, _of_earlier(classifier, several=options.multi_label))
    entries, [embeddings] = yield from embed_images(items, models=[model])
    unread = tuple(entry for entry in entries if isinstance(entry, Skipped))
    truth = images.truth[[not isinstance(entry, Skipped) for entry in entries[: len(images.items)]]]
    check_count(len(truth), where=options.data, unread=unread)
    known, of_none = np.split(embeddings, [len(truth)])
    found = yield from _calibrated(classifier, known, truth, several=options.multi_label)
    if unknown:
        found = _with_threshold(found, known, of_none, where=str(options.unknown_folder))
    return Calibrated(found, (*images.skipped, *unread))


def _calibrated(
    classifier: Classifier, embeddings: NDArray[np.float32], truth: NDArray[Any], *, several: bool
) -> Generator[Event, None, Classifier]:
    """The classifier, calibrated with images `[N, D]` of these classes `[N]`, or `[N, C]` for several labels."""
    if several:
        plain = replace(classifier, several=None)
        return replace(plain, several=calibrate_several(log_odds(embeddings, plain), truth))
    plain = replace(classifier, calibration=None)
    logits = logits_of(cosine_of(embeddings, plain).astype(np.float64), plain)
    yield from map(Warned, _doubts(logits, truth, plain))
    return replace(plain, calibration=calibration_of(logits, truth))


def _with_threshold(
    classifier: Classifier, known: NDArray[np.float32], of_none: NDArray[np.float32], *, where: str
) -> Classifier:
    """The classifier with the unknown threshold that images of the classes `[N, D]` and of none `[M, D]` teach.

    Raises `UsageError` if none of those of none, which lie `where`, could be read.
    """
    if not len(of_none):
        raise UsageError(f"{where}: none of its images can be read; give images of none of the labels")
    if classifier.calibration is None:
        return classifier
    scores = [unknown_scores(embeddings, classifier) for embeddings in (of_none, known)]
    at = learned_threshold(*scores, default=default_threshold(classifier))
    return replace(classifier, calibration=replace(classifier.calibration, unknown_at=at, nones=len(of_none)))


def _of_earlier(classifier: Classifier, *, several: bool) -> Iterator[str]:
    """What becomes of an earlier calibration, and of the kind of score."""
    if (classifier.several if several else classifier.calibration) is not None:
        yield "The classifier was calibrated before; this calibration takes the place of that one."
    if not several and classifier.score != "softmax":
        yield f"The scores of {classifier.model} are sigmoids; calibrated, they are a softmax over the labels."


def _doubts(logits: NDArray[np.float64], truth: NDArray[np.intp], classifier: Classifier) -> Iterator[str]:
    """What may be wrong with the labels of the images, with these logits `[N, C]` and true classes `[N]`."""
    if len(set(truth.tolist())) == 1:
        label = classifier.labels[truth[0]]
        yield f"all images have the label '{label}'; how true the scores of other labels are cannot be told"
    same = int((logits.argmax(axis=1) == truth).sum())
    if same >= _NEARLY_ALL * len(truth):
        yield (
            f"{same:,} of {len(truth):,} labels are what the classifier says itself; if nobody looked at those images,"
            " leave them out, or scores become too high"
        )
