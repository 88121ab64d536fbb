"""Notices: each kind is counted and said once, on the command line and as a warning of Python."""

from __future__ import annotations

from clipcli.events import Noted, Warned
from clipcli.notices import Notice, Notices

ODD = Notice("file is odd", "files are odd", "they were left out")
CALM = Notice("file is calm", "files are calm", "nothing to do", warns=False)


def test_each_kind_is_said_once_with_its_first_example() -> None:
    notices = Notices()
    for name in ("a", "b", "c"):
        notices.add(ODD, name)
    notices.add(CALM, "d")
    said = list(notices.events())
    assert [(type(event), event.message) for event in said if isinstance(event, Warned | Noted)] == [
        (Warned, "3 files are odd, such as a: they were left out"),
        (Noted, "1 file is calm, d: nothing to do"),
    ]


def test_what_was_said_is_not_said_again() -> None:
    notices = Notices()
    notices.add(ODD, "a")
    list(notices.events())
    assert list(notices.events()) == []
