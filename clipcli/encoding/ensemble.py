"""Class embeddings from prompt ensembles: the normalised mean of the prompts' embeddings.

Each prompt's embedding is normalised, they are averaged over the class, and the mean is normalised again: the ensemble
in embedding space of Radford et al. 2021, section 3.1.4, as in open_clip's `build_zero_shot_classifier`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.encoders import TextEncoder
from clipcli.encoding.long_texts import encode_whole
from clipcli.events import ClassesEncoded, Event
from clipcli.memory.memory import Memory

Array = NDArray[np.float32]
CACHE_KIND = "class embeddings"


def encode_classes(
    prompts: Mapping[str, Sequence[str]], *, backbone: TextEncoder, memory: Memory, start: ClassesEncoded
) -> Generator[Event, None, dict[str, Array]]:
    """Encode classes, given the prompts of each under its cache key; returns the embedding `[D]` of each key.

    Embeddings are kept in memory group by group, so that an interrupted run loses little. Yields `ClassesEncoded`
    counting on from `start`.
    """
    embeddings: dict[str, Array] = {}
    for group in _groups(prompts, backbone):
        encoded = _encode_group([prompts[key] for key in group], backbone)
        done = dict(zip(group, encoded, strict=True))
        memory.put(done, kind=CACHE_KIND)
        yield from memory.warnings()
        embeddings.update(done)
        yield replace(start, done=start.done + len(embeddings))
    return embeddings


def class_embeddings(prompts: Sequence[Sequence[str]], *, backbone: TextEncoder) -> Array:
    """Encode the prompts of each class as class embeddings `[C, D]`, L2-normalised float32, without the cache."""
    encoded = [_encode_group([prompts[n] for n in group], backbone) for group in groups_of_classes(prompts, backbone)]
    return np.stack([embedding for group in encoded for embedding in group])


def groups_of_classes(prompts: Sequence[Sequence[str]], backbone: TextEncoder) -> list[list[int]]:
    """The numbers of classes that are encoded together, group by group."""
    keyed = {str(n): texts for n, texts in enumerate(prompts)}
    return [[int(key) for key in group] for group in _groups(keyed, backbone)]


def _groups(prompts: Mapping[str, Sequence[str]], backbone: TextEncoder) -> Generator[list[str], None, None]:
    """Group the keys of classes, so that progress is shown and embeddings are kept after each group."""
    limit = backbone.prompts_at_a_time()
    group: list[str] = []
    size = 0
    for key, texts in prompts.items():
        if group and size + len(texts) > limit:
            yield group
            group, size = [], 0
        group.append(key)
        size += len(texts)
    if group:
        yield group


def _encode_group(prompts: Sequence[Sequence[str]], backbone: TextEncoder) -> list[Array]:
    """Encode the prompts of a few classes as class embeddings, each `[D]`."""
    texts = [text for class_prompts in prompts for text in class_prompts]
    ends = np.cumsum([len(class_prompts) for class_prompts in prompts])[:-1]
    return backbone.normalised_means(np.split(encode_whole(texts, backbone=backbone), ends))
