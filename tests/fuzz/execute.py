"""One execution of a reader on bytes, in a folder of its own: it ends soon, and as `targets` says."""

from __future__ import annotations

import shutil
import signal
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from types import FrameType

from fuzz.inputs import FOLDER
from fuzz.targets import DOCUMENTED, TARGETS

# Seconds that a reader may take for some kilobytes.
LONGEST = 20


class TooSlow(BaseException):
    """A reader that has not ended in time."""


def execute(target: str, data: bytes, *, seed: Path, folder: Path) -> bool:
    """Read the bytes as a file called like `seed`; true if they were read. Raises what the reader should not raise."""
    path = folder / seed.name
    path.write_bytes(data)
    beside = FOLDER / "beside" / f"{target}{''.join(seed.suffixes)}.json"
    if beside.exists():
        shutil.copy(beside, folder / f"{seed.name}.json")
    with chdir(folder), in_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            TARGETS[target](path)
        except DOCUMENTED:
            return False
        return True


@contextmanager
def in_time() -> Iterator[None]:
    """Raise `TooSlow` after some seconds."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
