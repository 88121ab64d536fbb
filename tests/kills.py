"""Kills what acts on files, for real: SIGKILL in a process of its own, before any one of its lines."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

# Where lines are counted.
_ACTING = ("clipcli/actions/", "clipcli/files/atomic.py", "commands/sort/apply.py", "/shutil.py")


class Lines:
    """Counts the lines that are run of what acts on files, and kills the process before one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.count, self._last = 0, last

    def __call__(self, frame: Any, event: str, _: object) -> Any:
        if not any(name in frame.f_code.co_filename for name in _ACTING):
            return None
        if event == "line":
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def killed(act: Callable[[], object], last: int) -> bool:
    """Run in a process of its own that is killed before so many lines; false if it came to its end."""
    with warnings.catch_warnings():
        # Other tests leave threads.
        warnings.simplefilter("ignore")
        process = os.fork()
    if not process:
        code = 1
        try:
            sys.settrace(Lines(last))
            act()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def lines_of(act: Callable[[], object]) -> int:
    """How many lines a call runs of what acts on files."""
    counting = Lines()
    before = sys.gettrace()
    sys.settrace(counting)
    try:
        act()
    finally:
        sys.settrace(before)
    return counting.count
