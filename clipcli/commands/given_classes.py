"""The classes that a command is given: a classifier, or labels and prompts to build one from."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from clipcli.classes.given import STDIN
from clipcli.classes.prompts import PromptedClasses, read_prompted_classes
from clipcli.encoding.embed import towers_for
from clipcli.encoding.model import Model
from clipcli.errors import UsageError
from clipcli.events import Event
from clipcli.notices import Notices
from clipcli.records import ImageItem
from clipcli.scoring.build import add_vocabulary, build, build_with_vocabulary, check_belongs
from clipcli.scoring.classifier import Classifier

if TYPE_CHECKING:
    from clipcli.commands.shared_settings import KeptLabels


class Given(Protocol):
    """The settings of which some exclude others; a command may take several prompt sets."""

    @property
    def labels(self) -> KeptLabels | None: ...
    @property
    def classifier(self) -> str | Path | Classifier | None: ...
    @property
    def prompts(self) -> str | tuple[str, ...] | None: ...
    @property
    def taxonomy(self) -> str | None: ...


class GivenClasses(Given, Protocol):
    """The settings that name the classes, with one prompt set."""

    @property
    def prompts(self) -> str | None: ...
    @property
    def keep_names(self) -> bool: ...
    @property
    def keep_duplicates(self) -> bool: ...


def check_standard_input(labels: object, inputs: Sequence[object]) -> None:
    """Check that standard input is not both the labels and a list of images. Raises `UsageError`."""
    if labels == STDIN and STDIN in inputs:
        raise UsageError("standard input is either the labels or a list of images; give one of them as a file")


def check_given(options: Given) -> None:
    """Raise `UsageError` for a classifier together with what it has in it: labels, prompts and groups."""
    if options.classifier is None:
        return
    if options.labels is not None:
        raise UsageError("both labels and a classifier were given; give --labels FILE or --classifier FILE")
    if options.prompts:
        raise UsageError("a classifier has its prompts in it; give --prompts with --labels, not with --classifier")
    if options.taxonomy is not None:
        raise UsageError("a classifier has its groups in it; give --taxonomy with --labels, not with --classifier")


def read_class_source(options: GivenClasses, notices: Notices) -> Classifier | PromptedClasses:
    """Read the classifier, or the labels and prompts to build it from. Raises `UsageError` unless one is given."""
    check_given(options)
    if options.labels is None and options.classifier is None:
        raise UsageError(
            "neither labels nor a classifier was given; give --labels FILE or --classifier FILE, or labels themselves,"
            " as in --labels 'cat, dog, a red car'"
        )
    if options.labels is not None:
        return read_prompted_classes(
            options.labels,
            options.prompts,
            notices,
            keep_names=options.keep_names,
            keep_duplicates=options.keep_duplicates,
            taxonomy=options.taxonomy,
        )
    if isinstance(options.classifier, Classifier):
        return options.classifier
    return Classifier.load(options.classifier or "")


def get_classifier(
    class_source: Classifier | PromptedClasses, items: Sequence[ImageItem], *, model: Model, vocabulary: bool = False
) -> Generator[Event, None, Classifier]:
    """Build the classifier, with the `vocabulary` if wanted, or check that the one given was made with this model.

    If a text tower is loaded to build it, so is the image tower, unless memory has the embeddings of the images.
    """
    if isinstance(class_source, Classifier):
        yield from check_belongs(class_source, model=model)
        if not vocabulary:
            return class_source
        return (yield from add_vocabulary(class_source, model=model, towers=towers_for(items, model=model)))
    builder = build_with_vocabulary if vocabulary else build
    [classifier] = yield from builder([class_source], model=model, towers=towers_for(items, model=model))
    return classifier
