"""Names that are not UTF-8: one way in all outputs, and back."""

from __future__ import annotations

import os

import pytest

from clipcli.files.names import note_names, original, plain
from clipcli.notices import Notices


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("é.jpg", "é.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\udce9.jpg"),
        # A name that looks as if it were written so.
        (r"caf\udce9.jpg", r"caf\udc5cudce9.jpg"),
        (r"\udc5c", r"\udc5cudc5c"),
        ("half \ud800", r"half \ud800"),
        (r"C:\udder\a.jpg", r"C:\udder\a.jpg"),
    ],
)
def test_names_are_written_and_read_back(name: str, written: str) -> None:
    assert plain(name) == written
    assert original(written) == name


def test_names_that_are_not_utf8_are_counted() -> None:
    notices = Notices()
    note_names(["é.jpg", os.fsdecode(b"\xe9.jpg"), os.fsdecode(b"\xe8.jpg")], notices)
    [event] = notices.events()
    assert event.message == (
        r"2 names are not UTF-8, such as \udce9.jpg: such a byte is written as \udcXX in Parquet and JSON, and as it is"
        " in CSV; clipcli reads it back"
    )
