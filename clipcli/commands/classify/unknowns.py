"""Images of none of the classes, for `--unknown`: its settings are checked, and such images get their label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clipcli.classes.normal_form import composed
from clipcli.commands.classify.settings import UNKNOWN, Labelling, labels_written
from clipcli.errors import UsageError
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.unknown import default_threshold, unknown_scores, with_unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clipcli.records import Decided


def check_unknown(options: Labelling, names: Sequence[str]) -> None:
    """Check the settings about unknown images; `names` are those of classes and groups. Raises `UsageError`."""
    if not options.unknown:
        if options.unknown_at is not None or options.unknown_label != UNKNOWN:
            flag = "--unknown-at" if options.unknown_at is not None else "--unknown-label"
            raise UsageError(f"{flag} is about unknown images, which are looked for with --unknown alone; give it too")
        return
    if not options.unknown_label.strip():
        raise UsageError("--unknown-label has no text; give a word, such as unknown")
    if composed(options.unknown_label) in map(composed, names):
        raise UsageError(
            f"'{options.unknown_label}' is one of the labels as well; give unknown images another name,"
            " with --unknown-label TEXT"
        )


def look_for_unknown(
    decided: Decided,
    embeddings: NDArray[np.float32],
    classifier: Classifier,
    *,
    options: Labelling,
    kind: str,
    index: int,
) -> Decided:
    """The decisions about images with embeddings `[N, D]`, in which the unknown ones have `index` first."""
    return with_unknown(
        decided,
        unknown_scores(embeddings, classifier),
        at=default_threshold(classifier) if options.unknown_at is None else options.unknown_at,
        index=index,
        top_k=labels_written(options),
        alone=kind == "softmax" and len(classifier.labels) == 1,
    )
