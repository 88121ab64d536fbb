"""The errors that clipcli raises, with the exit codes of the command.

    ClipcliError            1  something failed while running
    ├── UsageError          2  the request cannot be carried out as it is
    │   ├── UnknownName        a name that is not in a table; the message has the nearest valid names
    │   ├── BadFile            a labels, prompts, config or classifier file with the wrong content
    │   ├── InputNotFound      no such image, folder or list, or one without images
    │   └── OutputExists       the output exists already
    │       └── OutputChanged     it was changed while it was brought up to date
    ├── ModelUnavailable    1  the weights cannot be found or downloaded
    ├── WeightsMismatch     1  the weights do not belong to this architecture or classifier
    ├── UnsafeWeights       1  a pickle that wants to run code
    ├── MissingExtra        1  an optional dependency is not installed; the message has the pip command
    ├── CacheUnusable       1  the cache file cannot be opened, read or written
    └── OutputFailed        1  the output cannot be written

A message is one line: what is wrong, a semicolon, what to do.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence

_FEW = 8
_SOME = 7
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "status_alloc_failed",
    "bad_alloc",
    "failed to map segment",
    "start new thread",
    "could not create a primitive",
)

# What torch says of a file that is cut short, and what libraries in Rust say of errors of the system.
_CUT, _OF_SYSTEM = ("inline_container", "PytorchStreamWriter"), "(os error "


class ClipcliError(Exception):
    """Base of all errors meant for the user."""

    exit_code = 1
    said_by_another = False
    """True where another process of the run says it, in a run of several."""


class UsageError(ClipcliError):
    """The request cannot be carried out as it is."""

    exit_code = 2


class UnknownName(UsageError):
    """A name is in no table."""


class BadFile(UsageError):
    """A file of the user's has the wrong content."""


class InputNotFound(UsageError):
    """An input does not exist or holds no images."""


class OutputExists(UsageError):
    """Writing would replace a file, and the user has not allowed it."""


class OutputChanged(OutputExists):
    """The output was changed while it was brought up to date, and is left so."""


class ModelUnavailable(ClipcliError):
    """The weights cannot be found or downloaded."""


class WeightsMismatch(ClipcliError):
    """The weights do not belong to this architecture or classifier."""


class UnsafeWeights(ClipcliError):
    """The weights are a pickle that wants to run code when it is loaded."""


class MissingExtra(ClipcliError):
    """An optional dependency is not installed."""


def install(*packages: str) -> str:
    """The command that adds packages to this installation, whether it was made by pip, pipx or uv."""
    if "/pipx/venvs/" in (place := sys.prefix.replace("\\", "/")):
        return f"pipx inject clipcli {' '.join(packages)}"
    if "/uv/tools/" in place:
        return f"uv tool install {' '.join(f'--with {package}' for package in packages)} clipcli"
    return f"pip install {' '.join(packages)}"


class CacheUnusable(ClipcliError):
    """The cache cannot be opened, read or written."""


class OutputFailed(ClipcliError):
    """The output cannot be written."""


def unknown(kind: str, name: str, valid: Iterable[str], *, see: str | None = None) -> UnknownName:
    """Make the error for an unknown name, with the nearest valid names, or with all of them if they are few.

    `kind` says what the name is of, as in `model`. `see` is a command that lists the valid names.
    """
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


class ClipcliWarning(UserWarning):
    """What the command line says in yellow: something the caller should know, though the work goes on."""


def some_of(names: Sequence[str]) -> str:
    """The first few names in quotes, and how many more there are: for messages."""
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return f"{', '.join(map(repr, names[:_SOME]))}{more}"


def is_out_of_memory(error: Exception) -> bool:
    """True for the errors by which torch, other libraries and Python say that memory is short."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def why_not_written(error: Exception) -> str | None:
    """Why a file was not written, where the error is of the disk; `None` for others.

    torch and safetensors raise errors of their own. Of a file that is cut short torch says where in its code it saw it.
    """
    if any(word in str(error) for word in _CUT):
        return "not all of it was written, as on a full disk"
    return one_line(error) if isinstance(error, OSError) or _OF_SYSTEM in str(error) else None


def one_line(error: Exception) -> str:
    """The first line of an error's message, in at most 200 characters, or its type if it has none."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
