"""The process that forks the worker processes of `--isolate`, as this one sees it."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from threading import Lock

from clipcli.errors import ClipcliError, UsageError, one_line
from clipcli.images.worker import FORK, KILL, LENGTH, WAIT, receive_exactly

# Modules that workers import first, such as a Pillow plug-in of a program.
PLUGINS: list[str] = []
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from clipcli.images.worker import keep_house; keep_house({fd}, {plugins!r})"
)
# The settings that decode in workers.
_ASKED_BY = "--isolate, --untrusted, --decode-timeout and --decode-memory"


def cannot_start(why: str) -> ClipcliError:
    """The error of a run whose workers cannot be started."""
    return ClipcliError(f"worker processes for decoding cannot be started: {why}; leave out {_ASKED_BY}")


class _House:
    """The process that forks the workers, started at the first need. It ends with this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._control: socket.socket | None = None
        self._started_with: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Start the process, without waiting for it."""
        with self._lock:
            self._prepare()

    def fork(self, end: socket.socket) -> int:
        """A new worker, which has the `end` of a pair of sockets; returns its process id."""
        with self._lock:
            self._prepare()
            return self._ask(FORK, [end.fileno()])

    def how_it_ended(self, worker: int) -> int:
        """The signal that ended a worker whose socket is closed; 0 if none did."""
        with self._lock:
            return self._ask(WAIT + LENGTH.pack(worker), [])

    def kill(self, worker: int) -> None:
        """Kill a worker, if it lives. It is not waited for: one that hangs in a read of the system ends only later."""
        with self._lock:
            if self._control is not None:
                self._ask(KILL + LENGTH.pack(worker), [])

    def _prepare(self) -> None:
        if self._control is None or self._started_with != tuple(PLUGINS):
            self._start()

    def _ask(self, question: bytes, descriptors: Sequence[int]) -> int:
        if self._control is None:
            raise cannot_start("the process that starts them has ended")
        try:
            socket.send_fds(self._control, [question], descriptors)
            return int(LENGTH.unpack(receive_exactly(self._control, LENGTH.size))[0])
        except (EOFError, OSError):
            self._control.close()
            self._control = None
            raise cannot_start("the process that starts them has ended") from None

    def _start(self) -> None:
        if sys.platform == "win32":
            raise UsageError(f"worker processes for decoding need Linux or macOS; leave out {_ASKED_BY}")
        self.end()
        self._started_with = tuple(PLUGINS)
        ours, theirs = socket.socketpair()
        program = _PROGRAM.format(path=sys.path, fd=theirs.fileno(), plugins=self._started_with)
        try:
            with theirs:
                # In a session of its own, Ctrl-C does not reach it: the end of this process does.
                self._process = subprocess.Popen(
                    [sys.executable, "-c", program],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
        except OSError as e:
            ours.close()
            raise cannot_start(one_line(e)) from None
        self._control = ours
        atexit.register(self.end)

    def end(self) -> None:
        """End the process, and with it all workers."""
        atexit.unregister(self.end)
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.wait()
            self._process = None


HOUSE = _House()
