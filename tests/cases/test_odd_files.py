"""Files that are called or are something odd: each has its row, and nothing waits for ever."""

from __future__ import annotations

import io
import os
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clipcli
from clipcli.data.images import list_images
from clipcli.data.reference import READERS
from clipcli.errors import BadFile
from clipcli.images.decode import attempt, decode
from clipcli.outputs.read import read_begun
from clipcli.records import ImageItem, Reference, Skipped

NAMES = [
    *(b"not utf-8 \xff\xfe.jpg", b"new\nline.jpg", b"carriage\rreturn.jpg", b"\"quoted\", 'too'.jpg", b"tab\t.jpg"),
    *("🦊👩‍👩‍👧.jpg".encode(), "تصویر.jpg".encode(), "\u202etxt.exe.jpg".encode(), "e\u0301.jpg".encode()),
    *("é.jpg".encode(), b"x" * 251 + b".jpg", b"CON.jpg", b"aux.jpg", b"nul.jpg", b"COM1.jpg", b"space .jpg"),
    *(b"dot..jpg", b"-rf.jpg", b"--output.jpg", b"@list.jpg", b"a[1].jpg", b"{1..3}.jpg", b"*.jpg", b"?.jpg"),
    *(b"$(reboot).jpg", b"`ls`.jpg", b"=1+1.jpg", b"\\back\\slash.jpg", b"%20.jpg", b"#frame=2.jpg", b"\x01\x7f.jpg"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def photo(path: Path | bytes, grey: int = 90) -> None:
    stream = io.BytesIO()
    Image.new("L", (8, 8), grey).save(stream, "JPEG")
    with open(path, "wb") as file:
        file.write(stream.getvalue())


def reason(item: ImageItem) -> str | None:
    """Why an image cannot be read."""
    found = attempt(item, decode)
    return found.reason if isinstance(found, Skipped) else None


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_every_name_has_its_row_and_is_read_back(folder: Path, model: str, format: str) -> None:
    from clipcli.cli import main

    for name in NAMES:
        photo(os.path.join(os.fsencode(folder), name))
    output = f"rows.{format}"
    with pytest.raises(SystemExit) as exit_:
        main(["classify", "in", "--labels", "cat, dog", "--model", model, "-o", output, "--quiet"])
    assert exit_.value.code == 0
    found = read_begun(Path(output))
    assert found is not None
    paths = [row.path for row in found[1]]
    assert len(paths) == len(NAMES)
    assert all(row.error is None for row in read_begun(Path(output))[1])  # type: ignore[index]
    if format == "csv":
        assert set(paths) == {os.path.join("in", os.fsdecode(name)) for name in NAMES}


def test_both_forms_of_a_letter_are_two_files(folder: Path) -> None:
    photo(folder / "e\u0301.jpg", 10)
    photo(folder / "é.jpg", 200)
    items = list_images(["in"])
    assert len(items) == 2
    assert len({decode(Path(item.reference.path or "").read_bytes()).getpixel((0, 0)) for item in items}) == 2


def test_what_is_no_file_is_skipped_at_once(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    os.symlink("/dev/zero", folder / "zero.jpg")
    os.symlink("round.jpg", folder / "round.jpg")
    os.symlink("nowhere.jpg", folder / "gone.jpg")
    os.symlink("..", folder / "up")
    (folder / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        # A path of a socket may have no more than some 100 bytes.
        os.chdir(folder)
        bound.bind("socket.jpg")
        os.chdir(tmp_path)
        reasons = {os.path.basename(item.id): reason(item) for item in list_images(["in"])}
    assert reasons["gone.jpg"] == "no such file"
    assert "symbolic links" in str(reasons["round.jpg"])
    for name in ("pipe.jpg", "zero.jpg", "socket.jpg"):
        assert "not a file" in str(reasons[name])
    assert len(reasons) == 5


@pytest.mark.parametrize("how", ["vanishes", "shrinks", "becomes a pipe", "becomes a folder"])
def test_a_file_that_changes_once_it_is_listed_costs_its_own_row(folder: Path, model: str, how: str) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        photo(folder / name)
    rows = clipcli.classify(folder, labels=["cat", "dog"], model=model, cache=False)
    path = folder / "b.jpg"
    content = path.read_bytes()
    path.unlink()
    if how == "shrinks":
        path.write_bytes(content[:-60])
    elif how == "becomes a pipe":
        os.mkfifo(path)
    elif how == "becomes a folder":
        path.mkdir()
    assert [row.error is None for row in rows] == [True, False, True]


def test_a_file_that_changes_while_it_is_read_is_no_other_image(
    folder: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its embedding is not kept for what the file is now."""
    for seed, name in enumerate(("a.jpg", "b.jpg")):
        noise = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    read = READERS["file"]

    def read_and_change(path: str, member: None) -> bytes:
        content = read(path, member)
        shutil.copy(folder / "b.jpg", folder / "a.jpg")
        return content

    with monkeypatch.context() as during:
        during.setitem(READERS, "file", read_and_change)
        list(clipcli.classify(folder / "a.jpg", labels=["cat", "dog"], model=model))
    [again] = clipcli.classify(folder / "a.jpg", labels=["cat", "dog"], model=model)
    [other] = clipcli.classify(folder / "b.jpg", labels=["cat", "dog"], model=model, cache=False)
    assert again.scores == pytest.approx(other.scores, abs=1e-6)


@pytest.mark.usefixtures("workers")
def test_a_mount_that_hangs_costs_the_time_limit(folder: Path, model: str) -> None:
    """A pipe in place of a shard that was listed stands in for it: to open it waits for ever."""
    import tarfile

    photo(folder / "a.jpg")
    with tarfile.open("shard.tar", "w") as shard:
        shard.add(folder / "a.jpg", "b.jpg")
    rows = clipcli.classify(["shard.tar", folder], labels=["cat", "dog"], model=model, cache=False, decode_timeout=1.0)
    os.unlink("shard.tar")
    os.mkfifo("shard.tar")
    assert [row.error for row in rows] == ["not decoded after 1 s, and given up", None]


def test_a_list_between_nul_characters_may_have_any_name(folder: Path) -> None:
    for name in NAMES:
        photo(os.path.join(os.fsencode(folder), name))
    paths = [os.path.join(b"in", name) for name in NAMES if b"\\" not in name]
    for end in (b"", b"\0", b"\0\n"):
        Path("list.txt").write_bytes(b"\0".join(paths) + end)
        items = list_images(["@list.txt"], null=True)
        assert [item.id for item in items] == [os.fsdecode(path) for path in paths]
        assert [reason(item) for item in items] == [None] * len(paths)
    stdin = io.TextIOWrapper(io.BytesIO(b"\0".join(paths)), encoding="utf-8")
    assert len(list_images(["-"], stdin=stdin, null=True)) == len(paths)


@pytest.mark.usefixtures("folder")
def test_a_list_with_nul_characters_names_the_flag() -> None:
    Path("list.txt").write_bytes(b"a.jpg\0b.jpg\0")
    with pytest.raises(BadFile, match=r"list.txt, line 1: a NUL character, which no path has; give --null"):
        list_images(["@list.txt"])


@pytest.mark.parametrize("is_stdin", [False, True])
@pytest.mark.usefixtures("folder")
def test_a_list_may_be_json_lines(is_stdin: bool) -> None:
    text = '"a.jpg"\n{"path": "b\\nc.jpg", "label": "x"}\n\n{"image": "d \\udcff.jpg"}\n{"file_name": "e.jpg"}\n'
    Path("list.jsonl").write_text(text)
    items = list_images(["-"], stdin=io.StringIO(text)) if is_stdin else list_images(["@list.jsonl"])
    assert [item.id for item in items] == ["a.jpg", "b\nc.jpg", "d \udcff.jpg", "e.jpg"]


@pytest.mark.parametrize("line", ['{"label": "x"}', "3", "a.jpg", '{"path": 3}', '""'])
@pytest.mark.usefixtures("folder")
def test_a_line_without_a_path_is_named(line: str) -> None:
    Path("list.jsonl").write_text(f'"a.jpg"\n{line}\n')
    with pytest.raises(BadFile, match=r"list.jsonl, line 2: no path; write it as in"):
        list_images(["@list.jsonl"])


@pytest.mark.usefixtures("folder")
def test_a_plain_list_may_have_names_that_begin_as_json_does() -> None:
    Path("list.txt").write_text('"quoted".jpg\n{"a.jpg\n')
    assert [item.id for item in list_images(["@list.txt"])] == ['"quoted".jpg', '{"a.jpg']


def test_other_kinds_of_files_are_read_in_folders_if_asked_for(folder: Path) -> None:
    for name in ("a.jpg", "b.nef", "c.pdf", "d.MP4", "e.txt", "f.jxl"):
        photo(folder / name)
    assert [os.path.basename(item.id) for item in list_images(["in"])] == ["a.jpg", "f.jxl"]
    found = list_images(["in"], also=("raw", "video"))
    assert [os.path.basename(item.id) for item in found] == ["a.jpg", "b.nef", "d.MP4", "f.jxl"]


def test_a_reference_to_a_pipe_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    thread = threading.Thread(target=reason, args=(ImageItem("x", Reference("file", str(folder / "pipe"))),))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
