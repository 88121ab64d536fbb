"""Builds classifiers from classes and prompts; class embeddings in memory are not encoded again."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import DEFAULT_PROMPTS, PromptedClasses, load_prompts
from clipcli.classes.vocabulary import vocabulary
from clipcli.encoding.label_checks import check_labels, label_warnings, remembered_checks
from clipcli.encoding.model import Model
from clipcli.errors import ModelUnavailable, UsageError, WeightsMismatch
from clipcli.events import ClassesEncoded, Event, ModelKnown, Noted
from clipcli.memory.classes import class_key, of_engine
from clipcli.scoring.classifier import Classifier, classifier_of
from clipcli.scoring.competitors import competitors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipcli.backbones.encoders import TextEncoder
    from clipcli.memory.models import ModelFacts

# With fewer words, what is far from the mean of them all says nothing.
LEAST_WORDS = 50


def build(
    prompted: Sequence[PromptedClasses], *, model: Model, towers: Sequence[str] = ()
) -> Generator[Event, None, list[Classifier]]:
    """Build one classifier for each of `prompted`, all with one model.

    Classes that are not in memory are encoded. For that, or if the model's facts are not in memory, the model is loaded
    with at least these `towers`: a caller that will need the image tower anyway names it, and weights are read once.
    Yields `Warned`, `ModelKnown`, `ModelLoaded`, `ClassesEncoded`. Raises the errors of loading a model.
    """
    prompts = [texts for one in prompted for texts in one.prompts()]
    names = [labelled.names for one in prompted for labelled in one.classes]
    embeddings = iter((yield from embed_classes(prompts, names=names, model=model, towers=towers)))
    if model.facts is None:
        raise ModelUnavailable(f"nothing is known of {model.name}; load it first")
    facts = model.facts
    return [classifier_of(one, np.stack(list(islice(embeddings, len(one.classes)))), facts) for one in prompted]


def build_with_vocabulary(
    prompted: Sequence[PromptedClasses], *, model: Model, towers: Sequence[str] = ()
) -> Generator[Event, None, list[Classifier]]:
    """As `build`, with the vocabulary in each classifier that tells unknown images, by the prompts of its classes."""
    words = vocabulary()
    generic = tuple(map(LabelledClass, words))
    others = [PromptedClasses(generic, prompt_set) for prompt_set in dict.fromkeys(one.prompt_set for one in prompted)]
    built = yield from build([*prompted, *others], model=model, towers=towers)
    of_words = {one.prompt_set: made for one, made in zip(others, built[len(prompted) :], strict=True)}
    found = []
    for one, classifier in zip(prompted, built, strict=False):
        embeddings = of_words[one.prompt_set].class_embeddings
        names = [name for labelled in one.classes for name in (labelled.label, *labelled.names)]
        found.append(_with_words(classifier, words, embeddings, names=names))
    return found


def _with_words(
    classifier: Classifier, words: Sequence[str], embeddings: NDArray[np.float32], *, names: Sequence[str]
) -> Classifier:
    """The classifier with those of the words that mean something else than its classes. Raises `UsageError` for few."""
    kept = competitors(words, embeddings, names=names, class_embeddings=classifier.class_embeddings)
    if len(kept) < LEAST_WORDS:
        raise UsageError(
            f"only {len(kept)} common words mean something else than your labels, and --unknown and --multi-label"
            f" compare with {LEAST_WORDS} or more; give fewer labels, or leave these away"
        )
    return replace(classifier, vocabulary=embeddings[kept])


def add_vocabulary(
    classifier: Classifier, *, model: Model, towers: Sequence[str] = ()
) -> Generator[Event, None, Classifier]:
    """The classifier with the vocabulary, by its own prompts if they are here, else by the default ones.

    Its aliases are not known, so that a word that is one of them is told by its nearness alone. `towers` as in `build`.
    """
    if classifier.vocabulary is not None:
        return classifier
    try:
        prompt_set = load_prompts(classifier.prompts)
    except UsageError:
        prompt_set = load_prompts(DEFAULT_PROMPTS)
        yield Noted(
            f"the classifier's prompts, {classifier.prompts}, are not here: the common words that its labels are"
            f" compared with have the prompts {DEFAULT_PROMPTS}"
        )
    words = vocabulary()
    prompted = PromptedClasses(tuple(map(LabelledClass, words)), prompt_set)
    names = [(word,) for word in words]
    embeddings = np.stack((yield from embed_classes(prompted.prompts(), names=names, model=model, towers=towers)))
    return _with_words(classifier, words, embeddings, names=classifier.labels)


def embed_classes(
    prompts: Sequence[Sequence[str]], *, names: Sequence[Sequence[str]], model: Model, towers: Sequence[str] = ()
) -> Generator[Event, None, list[NDArray[np.float32]]]:
    """The embedding `[D]` of each class, L2-normalised float32, by its prompts; `names` are those in the prompts.

    As `build`, which makes classifiers of them.
    """
    with model.watch.on("labels"):
        return (yield from _embedded(prompts, names, model, towers))


def _embedded(
    prompts: Sequence[Sequence[str]], names: Sequence[Sequence[str]], model: Model, towers: Sequence[str]
) -> Generator[Event, None, list[NDArray[np.float32]]]:
    fingerprint, precision = yield from model.identity()
    keys = [class_key(texts, fingerprint=fingerprint, precision=precision) for texts in prompts]
    wanted, names_of = dict(zip(keys, prompts, strict=True)), dict(zip(keys, names, strict=True))
    remembered, found = _remembered(wanted, model), remembered_checks(list(wanted), memory=model.memory)
    # Earlier versions kept what was no number.
    embeddings = {key: embedding for key, embedding in remembered.items() if np.isfinite(embedding).all()}
    yield from model.memory.warnings()
    if model.facts is not None and embeddings.keys() >= wanted.keys():
        yield _known(model.facts)
    else:
        missing = [key for key in wanted if key not in embeddings]
        if missing:
            count = sum(len(wanted[key]) for key in missing)
            encoder = yield from model.for_texts(count, *towers)
            embeddings |= yield from _encoded(missing, wanted, encoder=encoder, model=model)
            new_names, new_prompts = ({key: some[key] for key in missing} for some in (names_of, wanted))
            found |= check_labels(new_names, new_prompts, backbone=encoder, memory=model.memory)
        else:
            yield from model.load(*towers)
    yield from label_warnings(found, names=names_of, model=model.name)
    return [embeddings[key] for key in keys]


def _remembered(wanted: Mapping[str, Sequence[str]], model: Model) -> dict[str, NDArray[np.float32]]:
    """The embeddings of classes that are in memory, by key, as any of the engines made them that may be used."""
    found: dict[str, NDArray[np.float32]] = {}
    for engine in model.text_engines:
        keys = {of_engine(key, engine): key for key in wanted if key not in found}
        found |= {keys[kept]: embedding for kept, embedding in model.memory.get(list(keys)).items()}
    return found


def check_belongs(classifier: Classifier, *, model: Model) -> Generator[Event, None, None]:
    """Check that a classifier was made with this model. Raises `WeightsMismatch`, and as `Model.identity`."""
    fingerprint, _ = yield from model.identity()
    if fingerprint != classifier.fingerprint:
        raise WeightsMismatch(
            f"the classifier was made with {classifier.model} and not with these weights of {model.name}; "
            f"give --model {classifier.model}, or make the classifier anew"
        )
    if model.facts is not None:
        yield _known(model.facts)


def _known(facts: ModelFacts) -> ModelKnown:
    return ModelKnown(facts.name, facts.precision, facts.details, facts.record(None))


def _encoded(
    missing: Sequence[str], wanted: Mapping[str, Sequence[str]], *, encoder: TextEncoder, model: Model
) -> Generator[Event, None, dict[str, NDArray[np.float32]]]:
    """Encode the classes of the `missing` keys; `wanted` are the prompts of all. Returns an embedding `[D]` a key."""
    from clipcli.encoding.ensemble import encode_classes

    known = len(wanted) - len(missing)
    mean = sum(map(len, wanted.values())) / len(wanted)
    start = ClassesEncoded(known, len(wanted), known, mean)
    yield start
    key_of = {of_engine(key, encoder.text_engine): key for key in missing}
    prompts = {kept: wanted[key] for kept, key in key_of.items()}
    encoded = yield from encode_classes(prompts, backbone=encoder, memory=model.memory, start=start)
    return {key_of[kept]: embedding for kept, embedding in encoded.items()}
