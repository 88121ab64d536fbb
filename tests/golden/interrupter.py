"""A process that runs commands of clipcli in children and has each of them killed where it is told to.

Started as a script. It reads a line of JSON for each command and answers with one: how the child ended. torch is loaded
once, in the parent, which computes nothing, so that a child is there at once. A child is interrupted through an audit
hook of Python: at the first file or folder that is opened, made or renamed with `at` in its name. If `while_written`
is given, it first waits there until that file has begun and no longer grows.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
import signal
import sys
import time
import traceback
from typing import Any

_EVENTS = ("open", "os.mkdir", "os.rename")
_PATIENCE, _QUIET = 60.0, 0.25
_NOT_WRITTEN = 99
_LOADED = ("torch", "open_clip", "peft", "pyarrow.parquet", "matplotlib.figure", "clipcli.cli")


def interrupt(*, at: str, by: str, while_written: str | None) -> None:
    """Arm the hook; it fires once."""
    armed = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not armed or event not in _EVENTS or not any(at in _text(one) for one in arguments):
            return
        armed.clear()
        if while_written is not None:
            _wait_for(while_written)
        os.kill(os.getpid(), getattr(signal, by))

    sys.addaudithook(hook)


def _text(argument: object) -> str:
    return os.fsdecode(argument) if isinstance(argument, str | bytes | os.PathLike) else ""


def _wait_for(pattern: str) -> None:
    """Until a file of this pattern holds something, and what it holds no longer grows."""
    before, since, end = 0, time.monotonic(), time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        size = sum(os.stat(path).st_size for path in glob.glob(pattern, include_hidden=True))
        if size != before:
            before, since = size, time.monotonic()
        if size and time.monotonic() - since > _QUIET:
            return
        time.sleep(0.02)
    sys.stderr.write(f"nothing was written to {pattern}\n")
    sys.stderr.flush()
    os._exit(_NOT_WRITTEN)


def child(command: dict[str, Any]) -> None:
    """Run one command to its interruption, or to its end if that never comes."""
    from clipcli.cli import main

    os.dup2(2, 1)
    os.environ.update(command["environment"])
    os.chdir(command["folder"])
    interrupt(at=command["at"], by=command["by"], while_written=command["while_written"])
    try:
        main(command["arguments"])
    except SystemExit as e:
        os._exit(e.code if isinstance(e.code, int) else 0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def serve() -> None:
    """Run each command that comes, and say how it ended: its exit code, or less than 0 for a signal."""
    for module in _LOADED:
        importlib.import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
