"""What a validation encodes, shared among the processes of a run: each encodes a part, and all get the whole.

Images go in the batches, and classes in the groups, in which one process alone would encode them, so that the figures
are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.backbone import Backbone
from clipcli.commands.train.processes import Processes
from clipcli.encoding.encode import encode
from clipcli.encoding.ensemble import class_embeddings, groups_of_classes
from clipcli.errors import UsageError
from clipcli.events import Warned
from clipcli.images.decode import DEFAULT_LIMITS
from clipcli.images.limits import Limits
from clipcli.records import Embedded, ImageItem, Skipped

Array = NDArray[np.float32]


def encode_images_together(
    items: Sequence[ImageItem], *, backbone: Backbone, processes: Processes, limits: Limits = DEFAULT_LIMITS
) -> tuple[Array, list[int], tuple[str, ...]]:
    """Embeddings `[M, D]` of the images that can be read, their places among the items, and warnings of the others.

    Raises `UsageError` where none can be read.
    """
    own = processes.own(len(items), whole=backbone.runtime.batch_size)
    events: list[object] = []
    with processes.together():
        events = list(encode(items[own], backbones=[backbone], limits=limits))
    parts = [event for event in events if isinstance(event, Embedded)]
    embeddings = _joined([part.embeddings[0] for part in parts], backbone)
    places = enumerate((entry for part in parts for entry in part.entries), start=own.start)
    entries = [(n, entry if isinstance(entry, Skipped) else None) for n, entry in places]
    said = [event.message for event in events if isinstance(event, Warned)]
    found = processes.gather_objects((embeddings, entries, said))
    entries = [entry for _, own_entries, _ in found for entry in own_entries]
    skipped = [entry for _, entry in entries if entry is not None]
    warnings = list(dict.fromkeys(message for _, _, messages in found for message in messages))
    if skipped:
        first = f"{skipped[0].item.id}: {skipped[0].reason}"
        if len(skipped) == len(items):
            raise processes.alike(UsageError(f"the validation data: no image can be read, such as {first}"))
        count = f"{len(skipped):,} of {len(items):,} validation images"
        warnings.append(f"{count} cannot be read and do not count, such as {first}")
    kept = [n for n, entry in entries if entry is None]
    return _joined([embeddings for embeddings, _, _ in found], backbone), kept, tuple(warnings)


def encode_classes_together(prompts: Sequence[Sequence[str]], *, backbone: Backbone, processes: Processes) -> Array:
    """The class embeddings `[C, D]` of the prompts of each class."""
    groups = groups_of_classes(prompts, backbone)
    numbers = [n for group in groups[processes.own(len(groups))] for n in group]
    return _together(
        lambda: class_embeddings([prompts[n] for n in numbers], backbone=backbone) if numbers else None,
        backbone,
        processes,
    )


def encode_texts_together(texts: Sequence[str], *, backbone: Backbone, processes: Processes) -> Array:
    """The embeddings `[T, D]` of texts."""
    own = texts[processes.own(len(texts))]
    return _together(lambda: backbone.encode_texts(own).cpu().numpy() if own else None, backbone, processes)


def _together(encode_own: Callable[[], Array | None], backbone: Backbone, processes: Processes) -> Array:
    """The rows that all processes encode, in the order of ranks; `None` is no row."""
    encoded: Array | None = None
    with processes.together():
        encoded = encode_own()
    return _joined([part for part in processes.gather_objects(encoded) if part is not None], backbone)


def _joined(parts: Sequence[Array], backbone: Backbone) -> Array:
    return np.concatenate([np.empty((0, backbone.dimensions), np.float32), *parts])
