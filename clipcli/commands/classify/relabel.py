"""`classify` as far as it needs no model: images and labels that were seen before, from the cache. Loads no torch."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from clipcli.classes.labels import duplicate_warnings
from clipcli.classes.prompts import Recipe
from clipcli.events import Event, ModelKnown, RowsReady, Warned
from clipcli.memory.cache import Cache
from clipcli.memory.classes import class_key
from clipcli.memory.images import ImageStore, with_remembered
from clipcli.memory.models import Known
from clipcli.records import Entry, ImageItem, Remembered, Scores, Skipped
from clipcli.scoring.classifier import Classifier, classifier_of
from clipcli.scoring.decide import decide
from clipcli.scoring.rows import to_rows
from clipcli.scoring.score import choose_score, score

_ROWS = 1024


def known_classifier(made_of: Classifier | Recipe, known: Known, *, cache: Cache) -> Classifier | None:
    """The classifier, if it is one of this model, or all its class embeddings are in the cache.

    Raises `CacheUnusable`.
    """
    if isinstance(made_of, Classifier):
        return made_of if made_of.fingerprint == known.fingerprint else None
    keys = [
        class_key(prompts, fingerprint=known.fingerprint, precision=known.precision) for prompts in made_of.prompts()
    ]
    found = cache.get(keys)
    if not all(key in found for key in keys):
        return None
    return classifier_of(made_of, np.stack([found[key] for key in keys]), known)


def relabel(
    items: Sequence[ImageItem],
    *,
    made_of: Classifier | Recipe,
    classifier: Classifier,
    known: Known,
    store: ImageStore,
    score_kind: str,
    top_k: int,
    kept: Sequence[str],
) -> Generator[Event, None, int]:
    """Rows of the first images, up to the first one that only the model can tell of; gives how many there are."""
    if isinstance(made_of, Recipe):
        for message in duplicate_warnings(made_of.classes):
            yield Warned(message)
    kind = choose_score(score_kind, classifier)
    yield ModelKnown(known.name, known.precision, known.details, known.facts(None))
    done = 0
    for looked_up in _parts(store.look_up(items)):
        entries: list[Entry | Remembered] = []
        for entry in looked_up:
            settled = entry if isinstance(entry, Remembered) else _bad(entry)
            if settled is None:
                return done
            entries.append(settled)
        embedded = with_remembered(entries, np.empty((0, classifier.class_embeddings.shape[1]), np.float32))
        values = score(embedded.embeddings, classifier, kind=kind)
        decided = decide(Scores(embedded.entries, values), top_k=top_k)
        yield RowsReady(tuple(to_rows(decided, classifier.labels, kept=kept)))
        done += len(entries)
    return done


def all_seen(items: Iterable[ImageItem], *, store: ImageStore) -> bool:
    """Whether nothing need be encoded for these images."""
    return all(isinstance(entry, Remembered) or _bad(entry) is not None for entry in store.look_up(items))


def _parts(entries: Iterator[ImageItem | Remembered]) -> Iterator[list[ImageItem | Remembered]]:
    while part := list(islice(entries, _ROWS)):
        yield part


def _bad(item: ImageItem) -> Skipped | None:
    """The image as skipped, if it cannot be read: for that no model is needed."""
    from clipcli.images.decode import attempt, decode, register_plugins

    register_plugins()
    decoded = attempt(item, decode)
    return decoded if isinstance(decoded, Skipped) else None
