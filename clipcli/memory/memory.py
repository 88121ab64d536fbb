"""The cache as commands use it: if it fails, one warning is given and work goes on without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from clipcli.errors import CacheUnusable
from clipcli.events import Warned
from clipcli.memory.cache import Cache, read_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Result = TypeVar("Result")


def open_memory(*, cache: bool, cache_size: str | None = None) -> Memory:
    """The memory of earlier runs; without `cache` it remembers nothing. A `cache_size` such as `10G` bounds it.

    Raises `UsageError` for a size that cannot be read, and for one far below what is remembered.
    """
    if not cache:
        return Memory(None)
    opened = Cache(limit=None if cache_size is None else read_size(cache_size))
    # A cache that cannot be read is found out, and said, at its first use.
    with suppress(CacheUnusable):
        opened.check_limit()
    return Memory(opened)


class Memory:
    """Vectors and bytes by key, from earlier runs and for later ones.

    Without a cache, and after the cache has failed, nothing is found and nothing is kept. No method raises.
    """

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache
        self._failure: CacheUnusable | None = None
        self._told_of_damage = False

    def __bool__(self) -> bool:
        """True while the cache is in use."""
        return self._cache is not None

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The float32 vectors of those keys that are in the cache."""
        return self._attempt(lambda cache: cache.get(keys), {})

    def get_bytes(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those keys that are in the cache."""
        return self._attempt(lambda cache: cache.get_bytes(keys), {})

    def put(self, arrays: Mapping[str, NDArray[np.float32]], *, kind: str) -> None:
        """Keep these float32 vectors."""
        self._attempt(lambda cache: cache.put(arrays, kind=kind), None)

    def put_bytes(self, values: Mapping[str, bytes], *, kind: str) -> None:
        """Keep these values."""
        self._attempt(lambda cache: cache.put_bytes(values, kind=kind), None)

    def warnings(self) -> Iterator[Warned]:
        """A warning if the cache has failed since the last call, and one of the first damage. Pipelines yield them."""
        if self._cache is not None and self._cache.damaged and not self._told_of_damage:
            self._told_of_damage = True
            yield Warned(
                f"the cache {self._cache.path} has entries that are not as they were written, as a failing disk leaves"
                " them; they are made anew"
            )
        failure, self._failure = self._failure, None
        if failure is not None:
            yield Warned(f"{failure}; going on without it")

    def _attempt(self, use: Callable[[Cache], Result], otherwise: Result) -> Result:
        if self._cache is None:
            return otherwise
        try:
            return use(self._cache)
        except CacheUnusable as e:
            self._cache, self._failure = None, e
            return otherwise
