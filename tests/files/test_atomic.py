"""Files are whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from clipcli.files import atomic
from clipcli.files.atomic import (
    part_of,
    put_in_place,
    rename_new,
    replacing,
    sync_folder,
    write_bytes,
    write_text,
)


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


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"\x00\r\n")
    write_text(tmp_path / "b", "é\n\udcff", errors="surrogateescape")
    assert (tmp_path / "a").read_bytes() == b"\x00\r\n"
    assert (tmp_path / "b").read_bytes() == "é\n".encode() + b"\xff"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_the_file_behind_a_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_after_an_error_the_old_file_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def interrupted() -> None:
        with replacing(tmp_path / "a") as part:
            part.write_text("half")
            assert (tmp_path / "a").read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a", "\udcff")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


@pytest.mark.parametrize("supported", [True, False])
def test_a_new_name_never_takes_that_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supported: bool
) -> None:
    if not supported:
        monkeypatch.setattr(atomic, "_rename_exclusively", lambda *_: errno.EINVAL)
    one, other, new = (tmp_path / name for name in ("one", "other", "new-\udcff"))
    one.write_text("1")
    other.write_text("2")
    with pytest.raises(FileExistsError):
        rename_new(str(one), str(other))
    rename_new(str(one), str(new))
    assert (one.exists(), new.read_text(), other.read_text()) == (False, "1", "2")
    new.unlink()
    new.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        rename_new(str(other), str(new))
    with pytest.raises(FileNotFoundError):
        rename_new(str(one), str(tmp_path / "x"))
    sync_folder(tmp_path)
    sync_folder(tmp_path / "none")
