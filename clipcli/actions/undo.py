"""Undoes what a journal tells of, the last step first, however far the command that wrote it came.

What each step left is looked at, and not only what the journal says: the command may have been killed in the middle of
a step, and so may an earlier undo. What somebody changed since is neither removed nor replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clipcli.actions.failed import reason_of
from clipcli.actions.files import have_same_bytes, move_file
from clipcli.actions.journal import Journal, Record, Step, Taken, journals_in
from clipcli.actions.replace import bring_back, put_back
from clipcli.errors import BadFile
from clipcli.files.identity import state_of
from clipcli.files.manifest import sha256_of


class LeftAlone(Exception):
    """A step cannot be undone without harm; the message is the reason, in a few words."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of a step: `did` is false where there was nothing to undo; `left` is why it was left as it is."""

    step: Step
    did: bool
    left: str | None = None


def undo_steps(record: Record) -> Iterator[Undone]:
    """Undo the steps of a journal, the last one first, and note each in the journal.

    A step that was undone before is passed over. Raises `BadFile`, before anything is done, for a kind of step that is
    not in `KINDS`, and as `Journal.go_on`.
    """
    yield from _undo_each(record, {n: taken for n, taken in record.steps.items() if not taken.is_undone})


def settle(folder: Path, *, command: str) -> None:
    """Undo the steps of a command's journals in a folder that did not come to their end, because of a kill or an error.

    Raises as `undo_steps`.
    """
    for record in journals_in(folder, command=command):
        unfinished = {n: taken for n, taken in record.steps.items() if not taken.is_done and not taken.is_undone}
        if unfinished:
            for _ in _undo_each(record, unfinished):
                pass


def _undo_each(record: Record, steps: Mapping[int, Taken]) -> Iterator[Undone]:
    for taken in steps.values():
        if taken.step.kind not in KINDS:
            raise BadFile(f"{record.path} has a step '{taken.step.kind}', of a newer clipcli; undo it with that one")
    with Journal.go_on(record) as journal:
        for number, taken in sorted(steps.items(), reverse=True):
            done = _undo(taken)
            if done.left is None:
                journal.undone(number)
            yield done


def _undo(taken: Taken) -> Undone:
    step = taken.step
    try:
        for part in filter(None, (step.part, _part_of_source(step))):
            # A kill left it.
            Path(part).unlink(missing_ok=True)
        return Undone(step, KINDS[step.kind].undo(taken))
    except LeftAlone as e:
        return Undone(step, did=False, left=str(e))
    except OSError as e:
        return Undone(step, did=False, left=reason_of(e))


def _remove_folder(taken: Taken) -> bool:
    """Remove a folder that was made, if it is empty."""
    try:
        os.rmdir(taken.step.target)
    except FileNotFoundError:
        return False
    return True


def _remove_copy(taken: Taken) -> bool:
    """Remove a copy or a hard link of the source, if the source still has its bytes."""
    step, source = taken.step, str(taken.step.source)
    if not os.path.lexists(step.target):
        return False
    if not os.path.isfile(source):
        raise LeftAlone("what it is a copy of is no longer there")
    if os.path.realpath(source) == os.path.realpath(step.target):
        raise LeftAlone("what it is a copy of is a link to it by now")
    is_as_it_was = taken.after == _state(step.target) and step.state == _state(source)
    if not is_as_it_was and not _same(step.target, source):
        raise LeftAlone("it was changed since, or what it is a copy of")
    os.unlink(step.target)
    return True


def _remove_link(taken: Taken) -> bool:
    """Remove a symbolic link to the source."""
    step = taken.step
    if not os.path.lexists(step.target):
        return False
    if not os.path.islink(step.target) or os.readlink(step.target) != step.source:
        raise LeftAlone("it is another file by now")
    os.unlink(step.target)
    return True


def _move_back(taken: Taken) -> bool:
    """Move a file back to the source's path, also if it was changed since; of two that are the same one is removed."""
    step, source = taken.step, str(taken.step.source)
    if os.path.lexists(source):
        if not os.path.lexists(step.target):
            return False
        if os.path.samefile(source, step.target) or not _same(step.target, source):
            raise LeftAlone("another file is at its old place")
        # The move across file systems, or its undoing, was killed before its last act.
        os.unlink(step.target)
        return True
    if not os.path.lexists(step.target):
        if not taken.is_done:
            return False
        raise LeftAlone("it is no longer there")
    os.makedirs(os.path.dirname(source), exist_ok=True)
    move_file(step.target, source, part=str(_part_of_source(step)))
    return True


def _part_of_source(step: Step) -> str | None:
    """The hidden name beside the source of a file that is moved back across file systems."""
    if step.kind != "move" or step.source is None or step.part is None:
        return None
    return os.path.join(os.path.dirname(step.source), os.path.basename(step.part))


def _remove_new(taken: Taken) -> bool:
    """Remove a file that was written, if it has the bytes that were written; with a source, if that is as it was."""
    step = taken.step
    if not os.path.lexists(step.target):
        return False
    if step.source is not None and step.state != _state(step.source):
        raise LeftAlone("what it was taken from was changed since, or is no longer there")
    if sha256_of(Path(step.target)) != step.sha256:
        raise LeftAlone("it was changed since")
    os.unlink(step.target)
    return True


def _put_back(taken: Taken) -> bool:
    """Give a file its former bytes, if it has those that were written."""
    try:
        return put_back(taken.step)
    except ValueError:
        raise LeftAlone("it was changed since") from None
    except FileNotFoundError:
        raise LeftAlone("it, or what was kept of it, is no longer there") from None


def _bring_back(taken: Taken) -> bool:
    """Make a file that was removed anew."""
    try:
        return bring_back(taken.step)
    except ValueError:
        raise LeftAlone("another file is at its old place") from None


def _state(path: str) -> tuple[int, ...] | None:
    with suppress(OSError):
        return state_of(path)
    return None


def _same(one: str, other: str) -> bool:
    return os.path.isfile(one) and os.path.isfile(other) and have_same_bytes(one, other)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of step.

    `undo` returns true if it did something, and false if there was nothing to undo. It raises `LeftAlone`, or
    `OSError`, where the step cannot be undone without harm. It may be called again after it was killed at any moment.
    `one` and `many` say what was undone, after a count.
    """

    undo: Callable[[Taken], bool]
    one: str
    many: str


KINDS: dict[str, Kind] = {
    # The target is a folder that was not there before.
    "folder": Kind(_remove_folder, "empty folder removed", "empty folders removed"),
    # The target is a copy of the source.
    "copy": Kind(_remove_copy, "copy removed", "copies removed"),
    # The target is a hard link to the source.
    "hardlink": Kind(_remove_copy, "hard link removed", "hard links removed"),
    # The target is a symbolic link to the source.
    "symlink": Kind(_remove_link, "link removed", "links removed"),
    # The target is the source under a new path; across file systems it was copied, and the source removed.
    "move": Kind(_move_back, "file moved back", "files moved back"),
    # The target is a new file with bytes of the hash `sha256`; a source is the archive that they were taken from.
    "write": Kind(_remove_new, "new file removed", "new files removed"),
    # The target has new bytes, of the hash `sha256`; of the former ones those are kept that are not the `same`.
    "replace": Kind(_put_back, "file as it was before", "files as they were before"),
    # The target was removed, and all its bytes are kept.
    "remove": Kind(_bring_back, "removed file brought back", "removed files brought back"),
}
