"""Work that waits until the output of a run is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Later:
    """Work for later runs: `work` does it, and yields its events. It is due once the output of this run is there."""

    work: Callable[[], Iterator[Any]]
