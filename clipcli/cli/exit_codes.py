"""The exit codes of all commands. The errors of `clipcli.errors` carry theirs, 1 or 2, with them."""

from __future__ import annotations

DONE = 0
"""All is done, or the reader of the output, such as `head`, had enough of it: that is never an error."""

FAILED = 1
"""It could not be done: no network, weights that do not fit, a full disk."""

WRONG_USAGE = 2
"""It cannot be done as it was asked: a name that does not exist, a file that is not there."""

SOME_SKIPPED = 3
"""All is done, but for some images that could not be read."""

INTERRUPTED = 130
"""Ctrl-C, SIGTERM or the end of the terminal came before the end; as shells have it, 128 and the number of Ctrl-C."""
