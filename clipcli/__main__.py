"""The program `clipcli`, also as `python -m clipcli`: Ctrl-C ends it also while the rest of it is imported."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import os
import time


def program() -> None:
    """Run the command line, and end the process."""
    began = time.perf_counter()
    # Ctrl-C is ignored where a script started us in the background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)
    from clipcli.cli import program

    program(began)


def _end_at_once(*_: object) -> None:
    os.write(2, b"clipcli: stopped; nothing was written\n")
    os._exit(130)


if __name__ == "__main__":
    program()
