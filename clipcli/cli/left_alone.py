"""The lines about files that a command left alone: the first with their reasons, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_SHOWN = 5


def left_alone(
    files: Sequence[tuple[str, str]], *, begin: str = "Left as it is", end: str = "were left as they are"
) -> Iterator[str]:
    """A line for each of the first `files` with its reason, which `begin` with these words, and one for the others."""
    for file, reason in files[:_SHOWN]:
        yield f"{begin}: {file}: {reason}."
    if len(files) > _SHOWN:
        yield f"And {len(files) - _SHOWN:,} more {end}."
