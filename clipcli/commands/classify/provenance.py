"""How the rows of a run are made, as the manifest of its output says it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import PromptedClasses
from clipcli.records import ImageItem, Provenance
from clipcli.scoring.classifier import Classifier


def provenance_of(
    made_of: Classifier | PromptedClasses,
    *,
    settings: Mapping[str, Any],
    model: str,
    items: Sequence[ImageItem],
    kept: Sequence[str],
) -> Provenance:
    """The provenance of the rows of these images, by classes that are made of this."""
    if isinstance(made_of, Classifier):
        classes = [LabelledClass(label) for label in made_of.labels]
        prompts, templates, classifier = made_of.prompts, None, made_of.digest()
    else:
        classes = list(made_of.classes)
        prompts, templates, classifier = made_of.prompt_set.name, made_of.prompt_set.templates, None
    return Provenance(
        command="classify",
        settings=settings,
        model=model,
        classes=tuple(
            {"label": one.label, "aliases": one.aliases, "descriptions": one.descriptions} for one in classes
        ),
        prompts=prompts,
        templates=templates,
        classifier=classifier,
        inputs=tuple(settings["inputs"]),
        images=len(items),
        images_digest=_digest(item.id for item in items),
        kept=tuple(kept),
    )


def _digest(names: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()
