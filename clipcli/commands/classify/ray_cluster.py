"""Joins a Ray cluster for `--cluster`, or starts one on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clipcli.errors import ClipcliError, MissingExtra, install, one_line


def imported_ray() -> Any:
    """The package ray, with its data. Raises `MissingExtra`."""
    try:
        import ray
        import ray.data
    except ImportError:
        command = install("'ray[data]'")
        raise MissingExtra(f"--cluster ray needs Ray; run {command}") from None
    return ray


@contextmanager
def connected(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster, or a local one, until the end of the context. Raises `ClipcliError`."""
    started = not ray.is_initialized()
    # Ray's own log is about its workings, and goes past Python to standard error.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        if started:
            how = {} if address == "ray" else {"address": address}
            local = {"include_dashboard": False} if address == "ray" else {}
            ray.init(**how, **local, log_to_driver=False, logging_level=logging.ERROR)
    # Each kind of failure has a type of its own.
    except Exception as e:
        raise ClipcliError(f"cannot use the cluster {address}: {one_line(e)}; check that it runs") from e
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Images of blocks that failed for good are done one by one.
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def in_words(ray: Any) -> str:
    """The machines, processors and cards of the cluster."""
    has = ray.cluster_resources()
    cards, cores, nodes = int(has.get("GPU", 0)), int(has.get("CPU", 0)), len(ray.nodes())
    machines = "1 machine" if nodes == 1 else f"{nodes:,} machines"
    return f"Ray: {machines} with {cores:,} processors{f' and {cards:,} cards' if cards else ''}."
