"""Python's search for garbage: switched off until a model is there.

What libraries make while they are imported and a model is loaded stays, and to go through it again and again costs a
first run a sixth of its time. Then what there is counts as lasting, and only among what comes later garbage is looked
for.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clipcli.events import Event, ModelKnown, ModelLoaded

Show = Callable[[Event], None]


@contextmanager
def left_alone(show: Show) -> Iterator[Show]:
    """Give `show` back, to be called with all events: the one that says that a model is there ends the exception."""
    collects = gc.isenabled()
    gc.disable()

    def shown(event: Event) -> None:
        if collects and isinstance(event, ModelLoaded | ModelKnown) and not gc.isenabled():
            gc.freeze()
            gc.enable()
        show(event)

    try:
        yield shown
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()
