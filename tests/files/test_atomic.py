"""Files are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clipcli.files.atomic import part_of, put_in_place


def test_every_part_is_a_new_hidden_name_beside_the_target(tmp_path: Path) -> None:
    parts = {part_of(tmp_path / "a.csv") for _ in range(100)}
    assert len(parts) == 100
    assert {part.parent for part in parts} == {tmp_path}
    assert all(part.name.startswith(".a.csv.") for part in parts)


def test_the_target_keeps_its_mode(tmp_path: Path) -> None:
    target, part = tmp_path / "a.csv", tmp_path / "part"
    target.write_text("old")
    target.chmod(0o604)
    part.write_text("new")
    put_in_place(part, target)
    assert (target.read_text(), target.stat().st_mode & 0o777, part.exists()) == ("new", 0o604, False)


def test_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    target, part = tmp_path / "pipe", tmp_path / "part"
    os.mkfifo(target)
    part.write_text("new")
    with pytest.raises(OSError, match="not a plain file"):
        put_in_place(part, target)
    assert target.is_fifo()
    assert part.read_text() == "new"
