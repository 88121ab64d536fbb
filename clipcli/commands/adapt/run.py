"""Adapts a classifier to corrections."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import PromptedClasses
from clipcli.commands.adapt.corrected_images import CorrectedImages, read_corrected
from clipcli.commands.adapt.settings import AdaptSettings
from clipcli.commands.given_classes import get_classifier, read_class_source
from clipcli.data.images import list_images
from clipcli.encoding.embed import embed_images
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event, InputsFound, Noted, result_of
from clipcli.memory.memory import open_memory
from clipcli.notices import Notices
from clipcli.records import ImageItem, Skipped
from clipcli.scoring.adapt import adapted, needs_others
from clipcli.scoring.adaptation import Adaptation
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.unknown import default_threshold, learned_threshold, unknown_scores
from clipcli.settings import Show, api

Array = NDArray[np.float32]
# Images of unknown classes that are looked at: more would tell little more.
_MOST_OTHERS = 1_000


@dataclass(frozen=True, slots=True)
class Adapted:
    """The adapted classifier, and the images that could not be read, each with the reason."""

    classifier: Classifier
    skipped: tuple[Skipped, ...]


@api(AdaptSettings)
def adapt(settings: AdaptSettings, show: Show) -> Classifier:
    """Adapt a classifier to the corrections of `clipcli review`, a few images a label or more.

    Give a `classifier` (a file, or the result of `build_classifier`), or `labels` to build it from. Returns a new
    classifier with `weights`, `biases` and an `adaptation`, which says what it learned from, and by cross-validation
    how many labels are right before and after. A label without a correction keeps its text embedding, at one scale for
    all. Images that are none of the labels teach the threshold from which on `classify` finds an image unknown.

    An image of several labels teaches the first that is a class. Raises the errors of `clipcli.errors`.
    """
    return result_of(run(settings), show=show).classifier


def run(options: AdaptSettings) -> Generator[Event, None, Adapted]:
    """As `adapt`, with its events. Everything is read and checked before a model is loaded."""
    notices = Notices()
    source = read_class_source(options, notices)
    classes = tuple(map(LabelledClass, source.labels)) if isinstance(source, Classifier) else source.classes
    if len(classes) < 2:
        raise UsageError(f"one label only, '{classes[0].label}'; expected at least two to choose from")
    _check_one_label(source)
    images = yield from read_corrected(options.corrections, classes, notices)
    others = yield from _others(options, images, len(classes), notices)
    yield from notices.events()
    memory = open_memory(cache=options.cache, cache_size=options.cache_size)
    default_model = source.model if isinstance(source, Classifier) else DEFAULT_MODEL
    model = Model(options.model or default_model, options, memory=memory)
    yield InputsFound(len(images.items))
    yield from memory.warnings()
    classifier = yield from _as_built(source, images, model)
    entries, [embeddings] = yield from embed_images(images.items, models=[model])
    of_others = None
    if others:
        _, [of_others] = yield from embed_images(others, models=[model])
    unread = tuple(entry for entry in entries if isinstance(entry, Skipped))
    if len(unread) == len(entries):
        first = unread[0]
        raise UsageError(f"no image of the corrections can be read, such as {first.item.id}: {first.reason}")
    truth = images.truth[[not isinstance(entry, Skipped) for entry in entries]]
    return Adapted(_learned(classifier, embeddings, truth, digest=images.digest, others=of_others), unread)


def _check_one_label(source: Classifier | PromptedClasses) -> None:
    """Raise `UsageError` for a classifier that gives an image several labels: corrections teach it one."""
    if isinstance(source, Classifier) and source.several is not None:
        raise UsageError(
            "the classifier is calibrated for several labels, and adapting teaches one label an image; give the"
            " classifier that was calibrated, or calibrate with more images of several labels"
        )


def _others(
    options: AdaptSettings, images: CorrectedImages, classes: int, notices: Notices
) -> Generator[Event, None, list[ImageItem]]:
    """Images of unknown classes, at most 1,000 of them; none where they can tell nothing."""
    if not options.images:
        return []
    of_classes = images.truth[images.truth >= 0]
    if not needs_others(of_classes, classes):
        yield Noted(
            "The images without labels are left: they count where each label has a correction, and some have only one."
        )
        return []
    items = list_images(options.images, stdin=sys.stdin, notices=notices)
    if len(items) > _MOST_OTHERS:
        yield Noted(f"{_MOST_OTHERS:,} of the {len(items):,} images without labels are looked at, taken at random.")
        taken = np.random.default_rng(0).permutation(len(items))[:_MOST_OTHERS]
        items = [items[n] for n in sorted(taken)]
    return list(items)


def _as_built(
    source: Classifier | PromptedClasses, images: CorrectedImages, model: Model
) -> Generator[Event, None, Classifier]:
    """The classifier before it was refined, adapted or calibrated; with a vocabulary if there are unknown images."""
    nones = bool((images.truth < 0).any())
    classifier = yield from get_classifier(source, images.items, model=model, vocabulary=nones)
    made = classifier.in_words()
    if made is not None:
        yield Noted(
            f"The classifier was {made}; what it learned then is left, and it learns from these corrections alone."
        )
    if classifier.score != "softmax" and (images.truth >= 0).any():
        yield Noted(f"The scores of {classifier.model} are sigmoids; adapted, they are a softmax over the labels.")
    return replace(classifier, weights=None, biases=None, refined_on=None, calibration=None, adaptation=None)


def _learned(
    classifier: Classifier, embeddings: Array, truth: NDArray[np.intp], *, digest: str, others: Array | None
) -> Classifier:
    """The classifier with what embeddings `[N, D]` of these classes `[N]` teach it."""
    of_class = truth >= 0
    unknown_at, nones = None, int((~of_class).sum())
    if nones:
        scores = unknown_scores(embeddings, classifier)
        at = default_threshold(classifier)
        unknown_at = learned_threshold(scores[~of_class], scores[of_class], default=at)
    trust, prior, accuracy = 1.0, None, None
    if of_class.any():
        fitted, accuracy = adapted(embeddings[of_class], truth[of_class], classifier, others=others)
        trust, prior = fitted.trust, fitted.prior
        # Logits are what a classifier gives times the logit scale.
        weights, biases = (one / classifier.logit_scale for one in (fitted.weights, fitted.biases))
        classifier = replace(
            classifier, weights=weights.astype(np.float32), biases=biases.astype(np.float32), score="softmax"
        )
    adaptation = Adaptation(
        images=int(of_class.sum()),
        nones=nones,
        by_class=dict(_counts(classifier, truth)),
        digest=digest,
        text_trust=trust,
        prior=prior,
        accuracy=accuracy,
        unknown_at=unknown_at,
    )
    return replace(classifier, adaptation=adaptation)


def _counts(classifier: Classifier, truth: NDArray[np.intp]) -> Iterator[tuple[str, int]]:
    """Each label that images have, with their number, in the order of the labels."""
    counts = Counter(truth.tolist())
    return ((label, counts[n]) for n, label in enumerate(classifier.labels) if counts[n])
