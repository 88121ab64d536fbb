"""Runs a function in several processes that are one group, as `torchrun` would start them, each a fork of the test."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import signal
import socket
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: what its function returned or the error that it raised, its exit code, and its seconds."""

    result: Any
    error: BaseException | None
    code: int | None
    seconds: float


def in_group(work: Callable[[int], Any], *, count: int = 2, timeout: float = 60) -> list[Ended]:
    """Run the work, which gets its rank, in each of the processes.

    One that outlasts the timeout is killed: its code is -9 then.
    """
    # What an optimizer imports is imported once, before the forks.
    importlib.import_module("torch._dynamo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    context, started = multiprocessing.get_context("fork"), time.monotonic()
    pipes, processes = [], []
    for rank in range(count):
        receive, send = context.Pipe(duplex=False)
        arguments = (work, rank, send, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        process = context.Process(target=_run, args=arguments)
        with warnings.catch_warnings():
            # Newer versions of Python warn of threads here: torch's, which the child leaves alone.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        send.close()
        pipes.append(receive)
        processes.append(process)
    return _ended(processes, pipes, started=started, timeout=timeout)


def _run(work: Callable[[int], Any], rank: int, send: Connection, environment: dict[str, str]) -> None:
    import torch

    os.environ.update(environment)
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    try:
        ended = work(rank), None
    except BaseException as e:
        ended = None, e
    # As bytes: multiprocessing has a way of its own for tensors.
    send.send_bytes(pickle.dumps(ended))
    send.close()
    os._exit(0)


def _ended(processes: Sequence[Any], pipes: Sequence[Connection], *, started: float, timeout: float) -> list[Ended]:
    found: dict[int, Ended] = {}
    while len(found) < len(processes):
        late = time.monotonic() - started > timeout
        for n, (process, pipe) in enumerate(zip(processes, pipes, strict=True)):
            if n in found or not (late or pipe.poll() or not process.is_alive()):
                continue
            result, error = None, None
            with suppress(EOFError):
                if pipe.poll():
                    result, error = pickle.loads(pipe.recv_bytes())
            if late:
                process.kill()
            seconds = time.monotonic() - started
            process.join(timeout=10)
            found[n] = Ended(result, error, process.exitcode, seconds)
        time.sleep(0.01)
    return [found[n] for n in range(len(processes))]
