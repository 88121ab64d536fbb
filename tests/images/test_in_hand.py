"""The images in hand are noted while they are decoded, and what a process leaves is read."""

from __future__ import annotations

import os
from pathlib import Path

from clipcli.files.locks import lock_file
from clipcli.images.in_hand import InHand, left_in_hand, note_path, noting_images
from clipcli.images.limits import Limits

ODD = os.fsdecode(b"\xff\n\xc3\xa9.jpg")


def left(output: Path) -> list[str]:
    """What would be left if the process ended now: the note as it is, without its lock."""
    copy = output.with_name("other.csv")
    note_path(copy).write_bytes(note_path(output).read_bytes())
    return left_in_hand(copy)


def test_what_is_in_hand_is_noted(tmp_path: Path) -> None:
    output, in_hand = tmp_path / "rows.csv", InHand()
    with in_hand.noted_in(note_path(output)):
        with in_hand.holding("a.jpg"), in_hand.holding(ODD):
            assert left(output) == ["a.jpg", ODD]
            # A run that goes on is not one that has died.
            assert left_in_hand(output) == []
        assert left(output) == []
        with in_hand.holding("long" * 5000):
            assert left(output) == [("long" * 5000)[:4095]]
    assert not note_path(output).exists()
    with in_hand.holding("later"):
        assert not note_path(output).exists()


def test_without_a_note_nothing_is_left(tmp_path: Path) -> None:
    assert left_in_hand(tmp_path / "rows.csv") == []


def test_a_run_that_ends_removes_what_another_left(tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    for limits in (Limits(isolate=True), Limits()):
        note_path(output).write_bytes(b"a.jpg\0")
        with noting_images(str(output), limits):
            assert left_in_hand(output) == (["a.jpg"] if limits.isolate else [])
        assert not note_path(output).exists()


def test_the_note_of_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    note_path(output).write_bytes(b"a.jpg\0")
    held = lock_file(note_path(output))
    assert held is not None
    with noting_images(str(output), Limits()):
        pass
    assert note_path(output).read_bytes() == b"a.jpg\0"
    os.close(held)


def test_a_folder_that_cannot_be_written_has_no_note(tmp_path: Path) -> None:
    with InHand().noted_in(tmp_path / "no" / "note"):
        pass
