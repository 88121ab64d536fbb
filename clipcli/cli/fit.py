"""Fits text to the width of a terminal, in its cells: a wide character, as of Chinese, takes two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, chop_cells, set_cell_size

_ELLIPSIS = "…"


def padded(text: str, width: int) -> str:
    """The text in exactly so many cells: padded, or cut at its end."""
    return set_cell_size(cut(text, width), width)


def cut(text: str, width: int) -> str:
    """The text in at most so many cells: what is cut at its end becomes an ellipsis."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + _ELLIPSIS


def cut_start(text: str, width: int) -> str:
    """As `cut`, but at its start: of a path, the name of the file is left."""
    if cell_len(text) <= width:
        return text
    kept = ""
    for character in reversed(text):
        if cell_len(character + kept) > width - 1:
            break
        kept = character + kept
    return _ELLIPSIS + kept


def wrap(text: str, width: int, *, more: str = "") -> list[str]:
    """The text in lines of at most so many cells; all begin as the first is indented, and those after it with `more`.

    A number stays in one line with the word after it, and a word is broken only where it is longer than a line.
    """
    indent = text[: len(text) - len(text.lstrip(" "))]
    most = max(width - len(indent) - len(more), 1)
    parts = (part for group in _groups(text.strip(" ").split(" ")) for part in _breakable(group, most))
    return _packed(parts, width, gap=" ", first=indent, rest=indent + more)


def pack(parts: Iterable[str], width: int | None, *, gap: str = "  ", indent: str = "") -> list[str]:
    """The parts in as few lines as hold them without one being broken, with a gap between two; without a width, in one.

    All lines but the first are indented.
    """
    return [gap.join(parts)] if width is None else _packed(parts, width, gap=gap, first="", rest=indent)


def command_lines(parts: Sequence[str], width: int | None, *, indent: str) -> list[str]:
    """A command in lines that may be typed or pasted as they are, with none of its parts broken."""
    lines = pack(parts, None if width is None else width - len(indent) - 2, gap=" ", indent="  ")
    return [indent + line + (" \\" if n + 1 < len(lines) else "") for n, line in enumerate(lines)]


def _packed(parts: Iterable[str], width: int, *, gap: str, first: str, rest: str) -> list[str]:
    lines: list[str] = []
    line, is_empty = first, True
    for part in parts:
        if not is_empty and cell_len(line) + len(gap) + cell_len(part) > width:
            lines.append(line)
            line, is_empty = rest, True
        line, is_empty = line + part if is_empty else line + gap + part, False
    return [*lines, line]


def _groups(words: Sequence[str]) -> list[list[str]]:
    """The words in groups that belong in one line: a number with the word after it."""
    groups: list[list[str]] = []
    for word in words:
        before = groups[-1][-1] if groups else ""
        if before[-1:].isdigit() and not word[:1].isdigit():
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _breakable(group: Sequence[str], most: int) -> list[str]:
    """The group as one part, or in pieces if it has more than so many cells."""
    whole = " ".join(group)
    if cell_len(whole) <= most:
        return [whole]
    return [piece for word in group for piece in chop_cells(word, most)]
