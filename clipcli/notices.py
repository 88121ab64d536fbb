"""Counts what was left out, guessed or changed while data were read, so that each kind of it is said once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from clipcli.events import Counted, Noted, Warned

_KINDS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Notice:
    """A kind of notice: `one` and `many` say what was found, and `then` what was done and what to do about it.

    With `Notice("file is no image", "files are no images", "they were left out")` the message is
    "3 files are no images, such as notes.pdf: they were left out". `warns` is false where nothing can be wrong.
    """

    one: str
    many: str
    then: str
    warns: bool = True

    def message(self, kinds: Counter[str], example: str) -> str:
        """The notice as users read it, with how many there are of each of the most frequent kinds."""
        count = kinds.total()
        found = f"1 {self.one}, {example}" if count == 1 else f"{count:,} {self.many}, such as {example}"
        most = [f"{number:,} {kind}" for kind, number in kinds.most_common(_KINDS_SHOWN) if kind]
        more = ["others"] if len(kinds) > _KINDS_SHOWN else []
        listed = f" ({', '.join(most + more)})" if most and count > 1 else ""
        return f"{found}{listed}: {self.then}"


class Note(Protocol):
    """Counts a notice about the example in hand, with a detail such as its size."""

    def __call__(self, notice: Notice, detail: str = "") -> None: ...


def unsaid(notice: Notice, detail: str = "") -> None:
    """A `Note` for where nobody listens."""


class Notices:
    """The notices of a run: how often each was met, with its first example. Several threads may add to it."""

    def __init__(self) -> None:
        self._found: dict[Notice, tuple[Counter[str], str]] = {}
        self._lock = Lock()

    def add(self, notice: Notice, example: str, *, kind: str = "") -> None:
        """Count one more; those of a `kind`, such as the suffix of a file, are counted apart as well."""
        with self._lock:
            kinds, _ = self._found.setdefault(notice, (Counter(), example))
            kinds[kind] += 1

    def add_counted(self, counted: Counted) -> None:
        """Add what was counted elsewhere, as in another process."""
        notice = Notice(counted.one, counted.many, counted.then, counted.warns)
        with self._lock:
            kinds, _ = self._found.setdefault(notice, (Counter(), counted.example))
            kinds.update(dict(counted.kinds))

    def about(self, example: str) -> Note:
        """A function that counts notices about this example."""

        def note(notice: Notice, detail: str = "") -> None:
            self.add(notice, f"{example} ({detail})" if detail else example)

        return note

    def take(self, notice: Notice) -> str | None:
        """The message of this kind of notice, which `events` then leaves out; `None` if there was none."""
        with self._lock:
            found = self._found.pop(notice, None)
        return None if found is None else notice.message(*found)

    def events(self) -> Iterator[Warned | Noted]:
        """A warning or a note for each kind since the last call."""
        with self._lock:
            found, self._found = self._found, {}
        for notice, (kinds, example) in found.items():
            message = notice.message(kinds, example)
            counted = Counted(notice.one, notice.many, notice.then, notice.warns, tuple(kinds.items()), example)
            yield (Warned if notice.warns else Noted)(message, counted=counted)
