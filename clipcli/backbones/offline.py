"""Keeps a process from the network while the files of a model are got and read, for `--offline`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
# How many runs of this process are offline now, and whether it was so before the first of them.
_runs = 0
_before = False


@contextmanager
def offline(on: bool) -> Iterator[None]:
    """With `on`, the hub's client and the libraries that use it take files from the cache alone.

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
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            constants.HF_HUB_OFFLINE = True if _runs else _before


def why_offline() -> str | None:
    """What forbids the network, for messages: `--offline` or `HF_HUB_OFFLINE`; `None` if nothing does."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        return None
    return "--offline" if _runs and not _before else "HF_HUB_OFFLINE"
