"""Images in chunks: the scores of all of them for thousands of classes at once would take much memory."""

from __future__ import annotations

from collections.abc import Iterator

AT_ONCE = 1024


def in_chunks(count: int) -> Iterator[slice]:
    """Slices of rows, in order, that together are so many."""
    for start in range(0, count, AT_ONCE):
        yield slice(start, start + AT_ONCE)
