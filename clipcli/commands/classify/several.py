"""The settings of `--multi-label`, and the labels that images have by them: all over their threshold, or none."""

from __future__ import annotations

from collections.abc import Callable

from clipcli.classes.joined import SEPARATOR
from clipcli.commands.classify.settings import ClassifySettings, labels_written
from clipcli.errors import UsageError
from clipcli.notices import Notice
from clipcli.records import Decided, Embedded, Provenance, Scores
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.kinds import THRESHOLD
from clipcli.scoring.schema import Schema
from clipcli.scoring.several import decide_several, several_scores

# Labels that are one field of a table, of which some hold what separates them.
SPLIT_LABELS = Notice(
    f"label holds '{SEPARATOR}'",
    f"labels hold '{SEPARATOR}'",
    f"in CSV, where '{SEPARATOR}' stands between the labels of an image, quotes stand around them",
    warns=False,
)


def check_several(options: ClassifySettings) -> None:
    """Raise `UsageError` for settings that do not fit together with `multi_label`, or do nothing without it."""
    if not options.multi_label:
        flag = "--wide" if options.wide else None if options.multi_label_at is None else "--multi-label-at"
        if flag is not None:
            raise UsageError(f"{flag} is for several labels an image; give --multi-label as well, or drop it")
        return
    if options.top_k > 1:
        raise UsageError(
            f"--top-k {options.top_k} gives each image as many labels, and --multi-label as many as it shows; give one"
            " of them"
        )
    others = {"--unknown": options.unknown, "--refine": options.refine, "--back-off": options.back_off is not None}
    for flag, is_given in others.items():
        if is_given:
            raise UsageError(f"{flag} is for one label an image; drop it, or --multi-label")
    if options.score != "auto":
        raise UsageError(
            f"--score {options.score} has no threshold that fits all labels, and --multi-label has scores of its own,"
            " with one; drop --score"
        )


def schema_of(options: ClassifySettings, provenance: Provenance, *, has_source: bool = False) -> Schema:
    """The columns of the output, with `has_source` that of an update. Raises `UsageError` if two would be alike."""
    if not options.multi_label:
        return Schema(
            top_k=labels_written(options), kept=provenance.kept, has_paths=provenance.has_groups, has_source=has_source
        )
    wide = tuple(one["label"] for one in provenance.classes) if options.wide else ()
    return Schema(kept=provenance.kept, several=True, wide=wide, has_source=has_source)


def decide_several_labels(classifier: Classifier, options: ClassifySettings) -> Callable[[Embedded], Decided]:
    """A function that decides which labels images have, by a classifier with a vocabulary."""
    at = THRESHOLD if options.multi_label_at is None else options.multi_label_at

    def decide(images: Embedded) -> Decided:
        scores = several_scores(images.embeddings[0], classifier)
        return decide_several(Scores(images.entries, scores), at=at, every=options.wide)

    return decide
