"""Finds labels that a text tower cannot do justice to: words it was never trained on, and texts it must take apart.

The embeddings of tokens that no training text held have learned nothing. Where they were set to zero, as in the
bundled model, a word with such a token can be told from one that the model has seen. Elsewhere a word of another script
is known by its tokens: the tokenizer takes it apart into letters, or into bytes of letters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipcli.backbones.guide import GUIDE
from clipcli.events import LabelsDoubted
from clipcli.memory.memory import Memory

if TYPE_CHECKING:
    from clipcli.backbones.encoders import TextEncoder

CACHE_KIND = "label checks"
_KEY = "label checks 2 of {}"
# Punctuation is apart from words, as tokenizers take it.
_WORD = re.compile(r"\w+")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_MOST_NAMED = 10
_MOST_LETTERS = 60
UNTRAINED, IN_PIECES, LONG = "untrained", "in pieces", "long"
Findings = Mapping[str, Sequence[str]]

# What is said of each kind, and what to do about it.
_MESSAGES = {
    UNTRAINED: (
        "{model} has never seen a word of {words}: it can only guess at such labels",
        "write them with other words, or take another model",
    ),
    IN_PIECES: (
        "{model} reads {words} in pieces of letters, as it was hardly trained on such words",
        f"write the labels in English, or take a model for many languages, such as {GUIDE['languages'].model}",
    ),
    LONG: (
        "{words} is longer than {model} reads at once: it was encoded in parts that overlap",
        "a short label with one short description often does better",
    ),
}


def check_labels(
    names: Mapping[str, Sequence[str]],
    prompts: Mapping[str, Sequence[str]],
    *,
    backbone: TextEncoder,
    memory: Memory,
) -> dict[str, Findings]:
    """For each key of a class, the words of its `names` and those of its `prompts` that are found; `{}` if none are.

    What is found is kept in memory for later runs, which may not load the model.
    """
    from clipcli.encoding.long_texts import too_long

    words = {key: dict.fromkeys(word for name in some for word in _WORD.findall(name)) for key, some in names.items()}
    distinct = list(dict.fromkeys(word for some in words.values() for word in some))
    untrained = _untrained_words(distinct, backbone)
    in_pieces = {word for word in distinct if word not in untrained and is_in_pieces(word, backbone.tokenizer)}
    longest = [max(some, key=len) for some in prompts.values()]
    long = {longest[n] for n in too_long(longest, tokenizer=backbone.tokenizer)}
    found: dict[str, Findings] = {
        key: {
            UNTRAINED: [word for word in words[key] if word in untrained],
            IN_PIECES: [word for word in words[key] if word in in_pieces],
            LONG: [text for text in prompts[key] if text in long],
        }
        for key in names
    }
    found = {key: kinds for key, kinds in found.items() if any(kinds.values())}
    memory.put_bytes({_KEY.format(key): json.dumps(kinds).encode() for key, kinds in found.items()}, kind=CACHE_KIND)
    return found


def remembered_checks(keys: Sequence[str], *, memory: Memory) -> dict[str, Findings]:
    """What earlier runs found, by key."""
    stored = memory.get_bytes([_KEY.format(key) for key in keys])
    by_key = {key: stored.get(_KEY.format(key)) for key in keys}
    return {key: json.loads(kinds) for key, kinds in by_key.items() if kinds is not None}


def label_warnings(
    found: Mapping[str, Findings], *, names: Mapping[str, Sequence[str]], model: str
) -> Iterator[LabelsDoubted]:
    """A warning for each kind of finding, which names the words, or the labels with words that were never seen.

    `names` are those of each class, as for `check_labels`.
    """
    for kind, (message, suggestion) in _MESSAGES.items():
        by_key = {key: kinds[kind] for key, kinds in found.items() if kinds[kind]}
        if kind == UNTRAINED:
            named = [_with_words(names[key][0], words) for key, words in by_key.items()]
        else:
            named = [f"'{_short(word)}'" for words in by_key.values() for word in words]
        if named:
            says = message.format(model=model, words=_listed(list(dict.fromkeys(named))))
            labels = tuple(dict.fromkeys(names[key][0] for key in by_key))
            yield LabelsDoubted(f"{says}; {suggestion}", labels, says, suggestion)


def is_in_pieces(word: str, tokenizer: Any) -> bool:
    """True if the tokenizer takes a word of other letters than ours apart into letters, or into bytes of letters."""
    if word.isascii():
        return False
    if hasattr(tokenizer, "byte_decoder"):
        pieces = [tokenizer.decoder[token].removesuffix("</w>") for token in tokenizer.encode(word)]
        parts_of_letters = not all(map(_is_whole(tokenizer.byte_decoder), pieces))
        is_latin = any(letter.isascii() and letter.isalpha() for letter in word)
        return parts_of_letters or (not is_latin and 2 * len(pieces) > len(word))
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        return False
    tokens = inner(word, add_special_tokens=False)["input_ids"]
    return inner.unk_token_id in tokens or any(map(_BYTE.fullmatch, inner.convert_ids_to_tokens(tokens)))


def _is_whole(byte_decoder: Mapping[str, int]) -> Callable[[str], bool]:
    def whole(piece: str) -> bool:
        try:
            bytes(byte_decoder[letter] for letter in piece).decode()
        except UnicodeDecodeError:
            return False
        return True

    return whole


def _untrained_words(words: Sequence[str], backbone: TextEncoder) -> set[str]:
    """The words with a token whose embedding is zero. A word that a training text held has trained all its tokens."""
    untrained = backbone.untrained_tokens()
    if not untrained or not words:
        return set()
    padding = set(backbone.tokenizer([""])[0].tolist())
    tokens = [set(row) - padding for row in backbone.tokenizer(list(words)).tolist()]
    return {word for word, own in zip(words, tokens, strict=True) if own & untrained}


def _with_words(label: str, words: Sequence[str]) -> str:
    """A label, with those of its words that are meant unless it has no other."""
    return f"'{_short(label)}'" + ("" if list(words) == [label] else f" ({', '.join(map(_short, words))})")


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def _listed(named: Sequence[str]) -> str:
    more = f" and {len(named) - _MOST_NAMED:,} more" if len(named) > _MOST_NAMED else ""
    return ", ".join(named[:_MOST_NAMED]) + more
