"""The cache as commands use it: where it fails, the work goes on without it, and that is said once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from clipcli.errors import CacheUnusable
from clipcli.events import Warned
from clipcli.memory.cache import Cache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Result = TypeVar("Result")


class Memory:
    """Arrays and bytes by key, of earlier runs and for later ones.

    Without a cache, and from the moment on that the cache cannot be used, nothing is found and nothing is kept.
    """

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache
        self._trouble: CacheUnusable | None = None

    def __bool__(self) -> bool:
        """Something may be found or kept."""
        return self._cache is not None

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The arrays that are there for these keys."""
        return self._attempt(lambda cache: cache.get(keys), {})

    def get_bytes(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values that are there for these keys."""
        return self._attempt(lambda cache: cache.get_bytes(keys), {})

    def put(self, arrays: Mapping[str, NDArray[np.float32]], *, kind: str) -> None:
        """Keep these arrays."""
        self._attempt(lambda cache: cache.put(arrays, kind=kind), None)

    def put_bytes(self, values: Mapping[str, bytes], *, kind: str) -> None:
        """Keep these values."""
        self._attempt(lambda cache: cache.put_bytes(values, kind=kind), None)

    def warnings(self) -> Iterator[Warned]:
        """A warning where the cache has failed since this was last asked: pipelines yield it as it comes."""
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            yield Warned(f"{trouble}; going on without it")

    def _attempt(self, use: Callable[[Cache], Result], otherwise: Result) -> Result:
        if self._cache is None:
            return otherwise
        try:
            return use(self._cache)
        except CacheUnusable as e:
            self._cache, self._trouble = None, e
            return otherwise
