"""The rows that earlier runs have left of an output: in it, or beside it where a run was killed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from clipcli.errors import BadFile, OutputExists, UsageError
from clipcli.files.atomic import parts_of
from clipcli.files.locks import is_held
from clipcli.outputs.resume import Earlier
from clipcli.records import Row
from clipcli.scoring.schema import START_ANEW

Read = Callable[[str], Iterator[Row]]


def left_over(output: str) -> list[Path]:
    """The files beside the output in which runs that were killed have left rows, the newest first."""
    try:
        parts = parts_of(Path(output).resolve())
        return _newest_first(part for part in parts if part.stat().st_size and not is_held(part))
    except OSError:
        # The folder may be one to write in and not to list; this is for information only.
        return []


def find_earlier(output: str, *, read: Read) -> Earlier | None:
    """The rows to go on with, if there are any; `read` gives those of a file that are whole.

    Of several files the newest is taken, or one that begins with its rows and has more. Raises `UsageError` where
    another run is writing the output, and `BadFile` or `OutputExists` where the output holds something else.
    """
    path = Path(output)
    parts = parts_of(path.resolve())
    if any(map(is_held, parts)):
        raise UsageError(f"another run is writing {output}; wait for its end, or give another --output")
    begun = [path] if path.is_file() and _has_rows(path, read) else []
    if not begun and path.is_file() and path.stat().st_size:
        raise OutputExists(f"{output} holds no rows to go on with; give another --output, or {START_ANEW}")
    refused: dict[Path, BadFile] = {}
    for part in parts:
        try:
            begun += [part] if _has_rows(part, read) else []
        except BadFile as e:
            refused[part] = e
    if not begun:
        for error in refused.values():
            raise error
        return None
    best, *others = _newest_first(begun)
    for other in others:
        if _begin_with(read(str(other)), read(str(best))):
            best = other
    others = [part for part in parts if part not in refused and part != best]
    superseded = [part for part in others if _begin_with(read(str(best)), read(str(part)))]
    if best != path:
        superseded.append(best)
    return Earlier(best, read=partial(read, str(best)), is_output=best == path, parts=tuple(superseded))


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _has_rows(path: Path, read: Read) -> bool:
    return next(read(str(path)), None) is not None


def _begin_with(rows: Iterator[Row], start: Iterator[Row]) -> bool:
    """Whether `rows` begin with all of `start`."""
    return all(row == next(rows, None) for row in start)
