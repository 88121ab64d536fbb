"""Waits for images that arrive, change or go in folders: for `--watch`.

What is found are the files that are still being written, for each time that an update is due.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from clipcli.data.file_names import IMAGE_SUFFIXES, suffix_of
from clipcli.errors import MissingExtra, UsageError, install

# Seconds without a change after which a file counts as written, and after which others no longer wait for one that is
# not: a camera or a copy may write for hours.
_QUIET = 1.0
_LONGEST = 10.0
# Milliseconds between two looks at what changes.
_TICK = 250


def check_watch(inputs: Sequence[object]) -> None:
    """Raise `UsageError` for inputs that are no folders, and `MissingExtra` without watchfiles."""
    for text in inputs:
        if not isinstance(text, str) or not os.path.isdir(text):
            raise UsageError(f"--watch watches folders, and {text} is none; give the folder that it is in")
    if importlib.util.find_spec("watchfiles") is None:
        raise MissingExtra(f"--watch needs watchfiles; run {install('watch')}")


def due(folders: Sequence[str]) -> Iterator[frozenset[str]]:
    """Yield whenever an update is due, at once and after changes: the files that are still being written then.

    Changes of a file are waited for until there was none for a second; other files wait ten seconds for it at most, and
    then it is left for a later time. Ends by `KeyboardInterrupt` alone.
    """
    from watchfiles import watch

    pending: dict[str, float] = {}
    since: float | None = None
    ticks = watch(
        *folders,
        watch_filter=None,
        debounce=_TICK,
        step=50,
        rust_timeout=_TICK,
        yield_on_timeout=True,
    )
    # The first tick comes once changes are noticed: none is missed between the first update and then.
    next(ticks)
    yield frozenset()
    for changes in ticks:
        now = time.monotonic()
        pending |= {os.path.abspath(path): now for _, path in changes if is_of_images(path)}
        if not pending:
            continue
        since = now if since is None else since
        unfinished = frozenset(path for path, changed in pending.items() if now - changed < _QUIET)
        if unfinished and (now - since < _LONGEST or len(unfinished) == len(pending)):
            continue
        pending, since = {path: pending[path] for path in unfinished}, None
        yield unfinished


def is_of_images(path: str) -> bool:
    """True for an image, a folder, and what may have been one; not for hidden files, as those being written."""
    if Path(path).name.startswith("."):
        return False
    return suffix_of(path) in IMAGE_SUFFIXES or not os.path.isfile(path)
