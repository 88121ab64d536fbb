"""Files are copied, moved and written as a whole or not at all, and nothing is ever replaced."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clipcli.actions import files
from clipcli.actions.files import copy_file, have_same_bytes, move_file, write_file

Act = Callable[[str, str, str], None]
ACTS: dict[str, Act] = {
    "copy": lambda source, target, part: copy_file(source, target, part=part),
    "move": lambda source, target, part: move_file(source, target, part=part),
    "write": lambda _, target, part: write_file(b"first", target, part=part),
}


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """A source that is there, a target that is not, and the hidden name for the part."""
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("a.txt").write_text("first")
    return "a.txt", "there/b.txt", "there/.x.part"


@pytest.fixture
def across(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target on another file system."""
    rename = files.rename_new

    def refuse(source: str, target: str) -> None:
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(files, "rename_new", refuse)


def everything() -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(Path().rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", ACTS)
def test_a_target_that_exists_is_not_replaced(kind: str, paths: tuple[str, str, str]) -> None:
    Path(paths[1]).write_text("mine")
    with pytest.raises(FileExistsError):
        ACTS[kind](*paths)
    assert everything() == {"a.txt": "first", "there/b.txt": "mine"}


@pytest.mark.usefixtures("across")
def test_a_move_across_file_systems_keeps_times_and_permissions(paths: tuple[str, str, str]) -> None:
    os.utime("a.txt", (10**9, 10**9))
    os.chmod("a.txt", 0o440)
    move_file(paths[0], paths[1], part=paths[2])
    stat = os.stat(paths[1])
    assert (everything(), stat.st_mtime, stat.st_mode & 0o777) == ({"there/b.txt": "first"}, 10**9, 0o440)


@pytest.mark.usefixtures("across")
def test_a_copy_that_differs_is_no_move(paths: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.shutil, "copyfile", lambda _, target: Path(target).write_text("fir5t"))
    with pytest.raises(OSError, match="its copy is not the same"):
        move_file(paths[0], paths[1], part=paths[2])
    assert everything() == {"a.txt": "first"}


@pytest.mark.usefixtures("across")
def test_a_file_that_changes_meanwhile_is_not_moved(
    paths: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "sync_folder", lambda _: Path("a.txt").write_text("second"))
    with pytest.raises(OSError, match="it changed while it was copied"):
        move_file(paths[0], paths[1], part=paths[2])
    assert everything() == {"a.txt": "second"}


@pytest.mark.usefixtures("across")
def test_a_file_that_cannot_be_removed_is_not_moved(
    paths: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def refuse(path: str) -> None:
        if path == "a.txt":
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError):
        move_file(paths[0], paths[1], part=paths[2])
    assert everything() == {"a.txt": "first"}


def test_what_a_file_system_without_permissions_refuses_is_no_error(
    paths: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(files.shutil, "copystat", refuse)
    os.utime("a.txt", (10**9, 10**9))
    copy_file(paths[0], paths[1], part=paths[2])
    assert os.stat(paths[1]).st_mtime == 10**9


def test_the_same_bytes(tmp_path: Path) -> None:
    contents = [b"", b"a", b"b", b"a" * (1 << 20), b"a" * (1 << 20) + b"b", b"a" * (1 << 20) + b"c"]
    names = [str(tmp_path / str(n)) for n in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        Path(name).write_bytes(content)
    same = [[have_same_bytes(one, other) for other in names] for one in names]
    assert same == [[n == m for m in range(len(names))] for n in range(len(names))]
