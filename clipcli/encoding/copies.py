"""Copies the next batch of pixels to a card while it encodes this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Item = TypeVar("Item")
Sent = TypeVar("Sent")


def one_ahead(batches: Iterable[Item], send: Callable[[Item], Sent]) -> Iterator[tuple[Item, Sent]]:
    """Yield each batch with the result of `send`, after the next batch has been sent."""
    waiting: tuple[Item, Sent] | None = None
    for batch in batches:
        sent = send(batch)
        if waiting is not None:
            yield waiting
        waiting = batch, sent
    if waiting is not None:
        yield waiting


class Copies:
    """Copies pixels to the card from pinned memory, in a CUDA stream of their own."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def start(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, torch.cuda.Event]:
        """Start a copy of the pixels; returns the tensor on the card and the event of its completion."""
        with torch.cuda.stream(self._stream):
            on_card = torch.from_numpy(pixels).pin_memory().to("cuda", non_blocking=True)
            return on_card, self._stream.record_event()

    def finished(self, started: tuple[Tensor, torch.cuda.Event]) -> Tensor:
        """The copied pixels, safe to use in work that is queued on the current stream from now on."""
        pixels, copied = started
        current = torch.cuda.current_stream()
        current.wait_event(copied)
        pixels.record_stream(current)
        return pixels
