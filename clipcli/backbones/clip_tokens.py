"""CLIP's tokenizer without torch: byte-pair encoding (Sennrich et al. 2016), with the ids of open_clip's own.

The vocabulary is the file that open_clip installs. open_clip itself is not imported, which takes seconds.
"""

from __future__ import annotations

import gzip
import html
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipcli.errors import ModelUnavailable

_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49152 - 256 - 2
_START, _END = "<start_of_text>", "<end_of_text>"
_WORDS = rf"{_START}|{_END}|'s|'t|'re|'ve|'m|'ll|'d|[{{letters}}]+|[{{numbers}}]|[^\s{{letters}}{{numbers}}]+"
# ftfy changes none of the texts that consist of these alone.
_PLAIN = re.compile(r"[ -%'-~]*")


class ClipTokenizer:
    """Turns texts into token ids as `open_clip.SimpleTokenizer` does, as `[B, L]` int64.

    `decoder` gives the text of each token, and `byte_decoder` the byte of each letter in it.
    """

    def __init__(self, context_length: int) -> None:
        self.context_length = context_length
        self.byte_decoder = {letter: byte for byte, letter in enumerate(_letters())}
        self._known: dict[str, list[int]] = {text: [self._ids[text]] for text in (_START, _END)}

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> NDArray[np.int64]:
        """The ids of each text between those of start and end, cut to the context's length, with zeros behind them."""
        length = context_length or self.context_length
        ids = np.zeros((len(texts), length), np.int64)
        start, end = self._ids[_START], self._ids[_END]
        for row, text in zip(ids, texts, strict=True):
            tokens = [start, *self.encode(text), end][:length]
            tokens[-1] = end
            row[: len(tokens)] = tokens
        return ids

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without those of start and end."""
        return [number for word in _words(_cleaned(text)) for number in self._of_word(word)]

    @cached_property
    def decoder(self) -> Mapping[int, str]:
        """The text of each token; the last in a word ends in `</w>`."""
        return {number: text for text, number in self._ids.items()}

    @property
    def _ids(self) -> Mapping[str, int]:
        return _vocabulary()[0]

    def _of_word(self, word: str) -> list[int]:
        known = self._known.get(word)
        if known is None:
            letters = _letters()
            parts = [letters[byte] for byte in word.encode("utf-8")]
            parts[-1] += "</w>"
            known = self._known[word] = [self._ids[part] for part in _merged(parts)]
        return known


def _merged(parts: list[str]) -> list[str]:
    """The parts of a word, joined pair by pair: always all pairs of the kind that comes first in the vocabulary."""
    ranks = _vocabulary()[1]
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: ranks.get(pair, _MERGES))
        if best not in ranks:
            break
        parts = list(_joined(parts, best))
    return parts


def _joined(parts: Sequence[str], pair: tuple[str, str]) -> Iterator[str]:
    n = 0
    while n < len(parts):
        together = tuple(parts[n : n + 2]) == pair
        yield "".join(pair) if together else parts[n]
        n += 2 if together else 1


def _cleaned(text: str) -> str:
    """The text as open_clip cleans it: mended by ftfy, without HTML's escapes, in small letters with single spaces."""
    if not _PLAIN.fullmatch(text):
        import ftfy

        text = ftfy.fix_text(text)
        text = html.unescape(html.unescape(text))
    return " ".join(text.split()).lower()


def _words(text: str) -> list[str]:
    if text.isascii():
        return _pattern().findall(text)
    import regex

    words: list[str] = regex.findall(_WORDS.format(letters=r"\p{L}", numbers=r"\p{N}"), text, regex.IGNORECASE)
    return words


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    return re.compile(_WORDS.format(letters="a-z", numbers="0-9"), re.IGNORECASE | re.ASCII)


@lru_cache(maxsize=1)
def _letters() -> Sequence[str]:
    """A letter for each byte: itself where it can be seen, else one from beyond the first 256."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte if byte in seen else next(others)) for byte in range(256)]


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[Mapping[str, int], Mapping[tuple[str, ...], int]]:
    """The id of each token, and the rank of each pair to be joined. Raises `ModelUnavailable`."""
    found = importlib.util.find_spec("open_clip")
    if found is None or found.origin is None:
        raise ModelUnavailable("open_clip is not installed, which has the vocabulary; run pip install open_clip_torch")
    lines = gzip.decompress((Path(found.origin).parent / _VOCABULARY).read_bytes()).decode("utf-8").split("\n")
    merges = [tuple(line.split()) for line in lines[1 : _MERGES + 1]]
    # Ids go by the bytes that can be seen first.
    letters = sorted(_letters(), key=lambda letter: (ord(letter) > 255, letter))
    texts = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), _START, _END]
    return {text: n for n, text in enumerate(texts)}, {merge: n for n, merge in enumerate(merges)}
