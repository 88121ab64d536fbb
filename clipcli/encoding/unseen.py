"""Words that a text tower was never trained on, found by token embeddings that are zero.

The embeddings of tokens that no training text held have learned nothing. Where they were set to zero, as in the bundled
model, a label of such words can be told from one that the model knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from clipcli.events import Warned
from clipcli.memory.memory import Memory

if TYPE_CHECKING:
    from clipcli.backbones.backbone import Backbone

CACHE_KIND = "unseen words"
_KEY = "unseen words of {}"
# Punctuation is apart from words, as tokenizers take it.
_WORD = re.compile(r"\w+")
_MOST_NAMED = 10


def find_unseen(
    names: Mapping[str, Sequence[str]], *, backbone: Backbone, memory: Memory
) -> dict[str, tuple[str, ...]]:
    """For each key, the words of a class's names that the model was never trained on; keys without any are left out.

    What is found is kept in memory for later runs, which may not load the model.
    """
    untrained = _untrained_tokens(backbone)
    if not untrained:
        return {}
    words = {key: dict.fromkeys(word for name in some for word in _WORD.findall(name)) for key, some in names.items()}
    distinct = list(dict.fromkeys(word for some in words.values() for word in some))
    if not distinct:
        return {}
    padding = set(backbone.tokenizer([""])[0].tolist())
    tokens = [set(row) - padding for row in backbone.tokenizer(distinct).tolist()]
    unseen = {word for word, own in zip(distinct, tokens, strict=True) if own and own <= untrained}
    found = {key: tuple(word for word in some if word in unseen) for key, some in words.items()}
    found = {key: some for key, some in found.items() if some}
    memory.put_bytes({_KEY.format(key): json.dumps(some).encode() for key, some in found.items()}, kind=CACHE_KIND)
    return found


def remembered_unseen(keys: Sequence[str], *, memory: Memory) -> dict[str, tuple[str, ...]]:
    """What earlier runs found, by key."""
    stored = memory.get_bytes([_KEY.format(key) for key in keys])
    by_key = {key: stored.get(_KEY.format(key)) for key in keys}
    return {key: tuple(json.loads(some)) for key, some in by_key.items() if some is not None}


def unseen_warnings(unseen: Mapping[str, Sequence[str]], *, model: str) -> Iterator[Warned]:
    """One warning that names the words, if there are any."""
    words = list(dict.fromkeys(word for some in unseen.values() for word in some))
    if not words:
        return
    named = ", ".join(f"'{word}'" for word in words[:_MOST_NAMED])
    more = f" and {len(words) - _MOST_NAMED:,} more" if len(words) > _MOST_NAMED else ""
    yield Warned(
        f"{model} was never trained on {named}{more}: such labels score no better than chance; "
        "write them with other words, or take another model"
    )


def _untrained_tokens(backbone: Backbone) -> set[int]:
    """The tokens whose embedding is zero; none where the text tower is not open_clip's own."""
    table = getattr(getattr(backbone.towers.text, "token_embedding", None), "weight", None)
    return set() if table is None else set((table == 0).all(dim=1).nonzero().flatten().tolist())
