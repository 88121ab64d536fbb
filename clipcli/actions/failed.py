"""Files that could not be acted on, with the reason in a few words."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from clipcli.errors import one_line

# With these errors the next file would fail as well.
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that is left as it is."""

    file: str
    reason: str


def reason_of(error: Exception) -> str:
    """What the system says of an error, or else the first line of its message."""
    return (error.strerror if isinstance(error, OSError) else None) or one_line(error)
