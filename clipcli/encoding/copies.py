"""Pixels on their way to a card, while it encodes those before them. Not yet run on a card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Thing = TypeVar("Thing")
Sent = TypeVar("Sent")


def one_ahead(batches: Iterable[Thing], send: Callable[[Thing], Sent]) -> Iterator[tuple[Thing, Sent]]:
    """Each batch with the result of `send` for it; the next batch is sent before this one is handed on."""
    waiting: tuple[Thing, Sent] | None = None
    for batch in batches:
        sent = send(batch)
        if waiting is not None:
            yield waiting
        waiting = batch, sent
    if waiting is not None:
        yield waiting


class Copies:
    """Copies of pixels to the card, from pinned memory, beside what the card computes."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def start(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, torch.cuda.Event]:
        """The pixels on the card, and the event of their arrival."""
        with torch.cuda.stream(self._stream):
            on_card = torch.from_numpy(pixels).pin_memory().to("cuda", non_blocking=True)
            return on_card, self._stream.record_event()

    def finished(self, started: tuple[Tensor, torch.cuda.Event]) -> Tensor:
        """The pixels, for work that is queued from now on."""
        pixels, there = started
        current = torch.cuda.current_stream()
        current.wait_event(there)
        pixels.record_stream(current)
        return pixels
