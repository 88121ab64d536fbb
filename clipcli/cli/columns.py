"""Text for the terminal: aligned columns, sizes in bytes, names without control characters."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as aligned columns on stdout; on a terminal that is too narrow, as lines of whole cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    most = shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None
    if most is not None and sum(widths) + 2 * (len(widths) - 1) > most:
        from clipcli.cli.fit import pack, wrap

        for row in rows:
            for line in pack([field.strip() for field in row if field.strip()], most, indent="  "):
                print("\n".join(wrap(line, most, more="  ")))
        return
    for row in rows:
        print("  ".join(field.ljust(width) for field, width in zip(row, widths, strict=True)).rstrip())


def format_size(count: int) -> str:
    """A number of bytes with a unit, as in `1.5 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def printable(text: str) -> str:
    """Replace characters that could move the cursor or cannot be encoded by U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
