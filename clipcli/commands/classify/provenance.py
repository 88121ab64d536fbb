"""The provenance of rows, for the manifest: settings, classes, model and images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import PromptedClasses
from clipcli.classes.tree import Tree, tree_of
from clipcli.records import ImageItem, Provenance, Sharding
from clipcli.scoring.classifier import Classifier


def provenance_of(
    class_source: Classifier | PromptedClasses,
    *,
    settings: Mapping[str, Any],
    model: str,
    items: Sequence[ImageItem],
    kept: Sequence[str],
    shard: Sharding | None = None,
) -> Provenance:
    """The provenance of the rows of these images.

    `class_source` is the classifier, or the classes and prompts that it is built from; `model` is the name by which the
    model was asked for, `kept` are the columns kept of the inputs' tables, and `shard` tells of what part of a run the
    items are.
    """
    if isinstance(class_source, Classifier):
        classes = [LabelledClass(label) for label in class_source.labels]
        prompts, templates, classifier = class_source.prompts, None, class_source.digest()
        scores = class_source.in_words() if settings["score"] in ("auto", "softmax") else None
        tree = class_source.tree
    else:
        classes = list(class_source.classes)
        prompts, templates, classifier = class_source.prompt_set.name, class_source.prompt_set.templates, None
        scores = None
        tree = tree_of(classes)
    return Provenance(
        command="classify",
        settings=settings,
        model=model,
        classes=_as_json(classes, tree),
        prompts=prompts,
        templates=templates,
        classifier=classifier,
        inputs=tuple(settings["inputs"] or [settings["embeddings"]]),
        images=len(items),
        images_digest=digest_of_names(items),
        kept=tuple(kept),
        scores=scores,
        shard=shard,
    )


def _as_json(classes: Iterable[LabelledClass], tree: Tree | None) -> tuple[dict[str, Any], ...]:
    """The classes as a manifest holds them, with their groups if they are in some."""
    return tuple(
        {"label": labelled.label, "aliases": labelled.aliases, "descriptions": labelled.descriptions}
        | ({} if tree is None else {"groups": groups})
        for labelled, groups in zip(classes, tree.groups if tree else repeat(None), strict=False)
    )


def digest_of_names(items: Iterable[ImageItem]) -> str:
    """A SHA-256 of the names of images in order, in hexadecimal."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.id.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
