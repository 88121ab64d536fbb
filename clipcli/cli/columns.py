"""Text as it goes to the terminal: plain tables, sizes, names without control characters."""

from __future__ import annotations

from collections.abc import Sequence


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Rows as aligned columns on stdout."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(field.ljust(width) for field, width in zip(row, widths, strict=True)).rstrip())


def size(count: int) -> str:
    """Bytes as a person reads them."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def printable(text: str) -> str:
    """The text with everything that could move the cursor or cannot be encoded made visible."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
