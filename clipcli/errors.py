"""Every error that clipcli raises on purpose, each with the exit code the command ends with.

    ClipcliError            1  something failed while running
    ├── UsageError          2  what was asked for cannot be done as it was asked
    │   ├── UnknownName        a name that is not in a table: the nearest valid ones are in the message
    │   ├── BadFile            a labels, prompts, config or classifier file that does not hold what it should
    │   ├── InputNotFound      no such image, folder or list, or one without images
    │   └── OutputExists       the output is there already
    ├── ModelUnavailable    1  the weights could not be had
    ├── WeightsMismatch     1  the weights are there and do not belong to this architecture or classifier
    ├── UnsafeWeights       1  a pickle that wants to run code
    ├── MissingExtra        1  an optional dependency is needed: the message holds the pip command
    ├── CacheUnusable       1  the cache file cannot be opened, read or written
    └── OutputFailed        1  the output cannot be written

A message is one line: what is wrong; what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_FEW = 8
_SOME = 7


class ClipcliError(Exception):
    """Base of all errors meant for the user."""

    exit_code = 1


class UsageError(ClipcliError):
    """The request itself is wrong."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that no table holds."""


class BadFile(UsageError):
    """A file that was given does not hold what it should."""


class InputNotFound(UsageError):
    """There is nothing to read at an input."""


class OutputExists(UsageError):
    """Writing would replace a file and nobody said that it may."""


class ModelUnavailable(ClipcliError):
    """The weights could not be had."""


class WeightsMismatch(ClipcliError):
    """The weights belong to something else."""


class UnsafeWeights(ClipcliError):
    """The weights are a pickle that wants to run code."""


class MissingExtra(ClipcliError):
    """An optional dependency is not installed."""


class CacheUnusable(ClipcliError):
    """The cache cannot be used."""


class OutputFailed(ClipcliError):
    """The output cannot be written."""


def unknown(kind: str, name: str, valid: Iterable[str], *, see: str | None = None) -> UnknownName:
    """An `UnknownName` that names the valid names nearest to `name`, or all of them where they are few."""
    names = list(valid)
    lowered = {n.lower(): n for n in names}
    near = [lowered[n] for n in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    if len(names) <= _FEW:
        hint = f"choose one of: {', '.join(dict.fromkeys(near + names))}"
    elif near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"for example {', '.join(names[:3])}"
    if see:
        hint += f" ({see} lists them)"
    return UnknownName(f"unknown {kind} '{name}'; {hint}")


def some_of(names: Sequence[str]) -> str:
    """The first few names in quotes, and how many more there are: for messages."""
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return f"{', '.join(map(repr, names[:_SOME]))}{more}"


def one_line(error: Exception) -> str:
    """What an error says first, in at most 200 characters."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
