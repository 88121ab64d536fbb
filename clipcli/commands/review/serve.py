"""Serves a review until the page says done, and writes what is decided."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clipcli.commands.review.decisions import Decisions
from clipcli.commands.review.run import Review
from clipcli.commands.review.server import ReviewServer
from clipcli.errors import OutputFailed, UsageError
from clipcli.events import Event, PageServed, PhotosReviewed
from clipcli.files.locks import is_locked, lock_file
from clipcli.outputs.corrections import append_corrections

# Seconds between two looks at the progress.
_PAUSE = 0.2


@contextmanager
def open_decisions(review: Review, file: str) -> Iterator[Decisions]:
    """The decisions of a review in this file, which no other review writes meanwhile.

    It is begun or looked at now, so that one that cannot be written is found before the first decision; if nothing is
    decided it is not left behind. Raises `OutputFailed`, `BadFile` and `UsageError`.
    """
    is_new = not os.path.exists(file)
    if not is_new and is_locked(Path(file)):
        raise UsageError(f"another review is writing {file}; end that one, or give another --output")
    append_corrections(file, [], several=review.several)
    try:
        lock = lock_file(Path(file))
    except OSError as e:
        raise OutputFailed(f"cannot read {file}: {e.strerror}; choose another --output") from None
    decisions = Decisions(file, review.photos, review.said, several=review.several, others=review.corrections)
    try:
        yield decisions
    finally:
        if lock is not None:
            os.close(lock)
        if is_new and not decisions.made:
            with suppress(OSError):
                os.unlink(file)


def serve(review: Review, decisions: Decisions) -> Generator[Event, None, None]:
    """Serve the page until it says done. Closing the generator stops the server, as does an error of the caller."""
    with ReviewServer(review, decisions) as server:
        yield PageServed(server.url)
        shown = None
        while not server.done.wait(_PAUSE):
            count = len(decisions.said)
            if count != shown:
                shown = count
                yield PhotosReviewed(count, len(review.photos))
