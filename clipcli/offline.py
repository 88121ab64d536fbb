"""Keeps a command from the network, for `--offline`: models come from this machine, and addresses are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

# Set while a run is offline, so that the processes it starts are too.
_VARIABLE = "CLIPCLI_OFFLINE"
_lock = Lock()
# How many runs of this process are offline now, and whether the hub's client was so before the first of them.
_runs = 0
_before = False


@contextmanager
def offline(on: bool) -> Iterator[None]:
    """With `on`, nothing is fetched: the hub's client, and the libraries that use it, take files from the cache alone.

    It holds for the whole process until the last such context has ended.
    """
    global _runs, _before
    if not on:
        yield
        return
    from huggingface_hub import constants

    with _lock:
        _before = constants.HF_HUB_OFFLINE if _runs == 0 else _before
        _runs += 1
        constants.HF_HUB_OFFLINE = True
        os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if not _runs:
                constants.HF_HUB_OFFLINE = _before
                del os.environ[_VARIABLE]


def is_offline() -> bool:
    """True in a run that is offline, and in the processes it has started."""
    return _VARIABLE in os.environ


def follow(on: bool) -> None:
    """Be offline, or not, in a process that works for another, as that one is by now."""
    if on:
        os.environ[_VARIABLE] = "1"
    else:
        os.environ.pop(_VARIABLE, None)


def why_offline() -> str | None:
    """What keeps the hub's client from the network, for messages; `None` if nothing does."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        return None
    return "--offline" if is_offline() and not _before else "HF_HUB_OFFLINE"
