"""What is looked for, as one embedding: of words, of photos, or of both, less what the photos must not show.

The embeddings of all that is wanted are added and those of what is not are subtracted, each of length 1, as in the
arithmetic of rclip and of joint embeddings before it (Kiros et al. 2014). The sum is normalised, so that a score is a
cosine in any case.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.checkpoint import IMAGE, TEXT
from clipcli.commands.find.settings import FindSettings
from clipcli.data.images import list_images
from clipcli.encoding.embed import embed_images
from clipcli.encoding.model import Model
from clipcli.errors import BadFile, UsageError
from clipcli.events import Event
from clipcli.notices import Notices
from clipcli.records import Skipped
from clipcli.scoring.build import embed_classes

Array = NDArray[np.float32]


def read_query(options: FindSettings, *, model: Model) -> Generator[Event, None, tuple[Array, frozenset[str]]]:
    """The embedding `[D]` of what is looked for, of length 1, and the real paths of the photos that it is like.

    Texts go to the model as they are. Raises `BadFile` for a photo that cannot be read, `UsageError` if all cancels
    out, and as `list_images`.
    """
    wanted = () if options.text is None else (options.text,)
    of_texts = yield from _texts([*wanted, *options.without], model=model)
    of_photos, files = yield from _photos(options, model=model)
    total = np.sum([*of_texts[: len(wanted)], *of_photos], axis=0) - np.sum(of_texts[len(wanted) :], axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise UsageError("what is looked for and what is not are the same; change one of them")
    return (total / length).astype(np.float32), files


def _texts(texts: Sequence[str], *, model: Model) -> Generator[Event, None, list[Array]]:
    """The embedding of each text; the image tower is loaded with the other if nothing is known of the model."""
    towers = (IMAGE,) if model.facts is None else ()
    if not texts:
        if model.facts is None:
            yield from model.load(*towers)
        return []
    each = [(text,) for text in texts]
    if model.facts is None:
        yield from model.load(IMAGE, TEXT)
    return (yield from embed_classes(each, names=each, model=model, towers=towers))


def _photos(options: FindSettings, *, model: Model) -> Generator[Event, None, tuple[Array, frozenset[str]]]:
    """The embeddings `[N, D]` of the photos to be like, and their files."""
    if not options.like:
        return np.empty((0, 0), np.float32), frozenset()
    notices = Notices()
    items = list_images(options.like, stdin=sys.stdin, notices=notices, exclude=options.exclude)
    yield from notices.events()
    entries, [embeddings] = yield from embed_images(items, models=[model])
    bad = next((entry for entry in entries if isinstance(entry, Skipped)), None)
    if bad is not None:
        raise BadFile(f"{bad.item.id}: {bad.reason}; give photos that can be read to --like")
    return embeddings, frozenset(os.path.realpath(item.file) for item in items if item.file is not None)
