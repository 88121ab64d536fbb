"""A set of tokens as a short text, to be kept in a file: as bits up to the last of them, in hexadecimal."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np


def as_bits(tokens: Collection[int]) -> str:
    """The text for some tokens, ids from 0 on."""
    bits = np.zeros(max(tokens, default=-1) + 1, np.bool_)
    bits[list(tokens)] = True
    return np.packbits(bits).tobytes().hex()


def of_bits(text: str) -> frozenset[int]:
    """The tokens of such a text."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
    return frozenset(np.flatnonzero(bits).tolist())
