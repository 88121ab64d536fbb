"""Pauses Python's garbage collector until a model is loaded.

The objects that imports and a model make are never garbage, and searching them again and again takes a sixth of the
time of a first run. Once the model is loaded they are frozen, and the collector runs on newer objects alone.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clipcli.events import Event, ModelKnown, ModelLoaded

Show = Callable[[Event], None]


@contextmanager
def pause_collector(show: Show) -> Iterator[Show]:
    """Pause the collector until a `ModelLoaded` or `ModelKnown` is shown, or to the end of the context.

    Gives a function to call with all events in place of `show`, which it calls.
    """
    was_enabled = gc.isenabled()
    gc.disable()

    def show_and_resume(event: Event) -> None:
        if was_enabled and isinstance(event, ModelLoaded | ModelKnown) and not gc.isenabled():
            gc.freeze()
            gc.enable()
        show(event)

    try:
        yield show_and_resume
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
