"""Tables of images and captions become pairs, and so do Hugging Face's imagefolders."""

from __future__ import annotations

import importlib.util
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipcli.data import reference
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.reference import read as read_bytes
from clipcli.data.tree import Data
from clipcli.errors import BadFile, InputNotFound, MissingExtra


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, content: str | bytes = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content.encode() if isinstance(content, str) else content)


def read(data: str, *, image: str | None = None, caption: str | None = None) -> PairsRead:
    return read_pairs(Data(data), options=PairOptions(("a {}",), image_column=image, caption_column=caption))


def captions(found: PairsRead) -> list[tuple[str, tuple[str, ...]]]:
    return [(pair.item.id, pair.captions) for pair in found.pairs]


def reasons(found: PairsRead) -> list[tuple[str, str]]:
    return [(skipped.item.id, skipped.reason) for skipped in found.skipped]


CSV = 'image,caption,other\nb.jpg,"one, two",x\n\nq/a.jpg, three ,y\r\n./b.jpg,"four\nfive",z\n'
TSV = 'image\tcaption\tother\nb.jpg\tone, two\tx\nq/a.jpg\tthree\ty\n./b.jpg\t"four\nfive"\tz\n'
JSONL = """{"image": "b.jpg", "caption": "one, two"}

{"image": "q/a.jpg", "caption": ["three", ""], "other": 7}
{"caption": "four\\nfive", "image": "./b.jpg"}"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", CSV),
        ("T.CSV", "\ufeff" + CSV),
        ("t.csv", CSV.replace("\n", "\r\n").replace("four\r\n", "four\n")),
        ("t.tsv", TSV),
        ("t.jsonl", JSONL),
        ("t.jsonl", "\ufeff" + JSONL.replace("}\n", "}\r\n")),
    ],
)
def test_a_table_of_text_gives_each_image_all_its_captions(name: str, content: str) -> None:
    write(f"d/{name}", content)
    write("d/b.jpg", b"b")
    write("d/q/a.jpg", b"a")
    found = read(f"d/{name}")
    assert captions(found) == [("d/b.jpg", ("one, two", "four\nfive")), ("d/q/a.jpg", ("three",))]
    assert [read_bytes(pair.item.reference) for pair in found.pairs] == [b"b", b"a"]
    assert found.skipped == []


@pytest.mark.parametrize("image", ["filepath", "file_name", "filename", "image", "image_path", "path", "file"])
@pytest.mark.parametrize("caption", ["caption", "captions", "text", "title", "label"])
def test_usual_columns_are_guessed(image: str, caption: str) -> None:
    write("t.csv", f"id,{caption}, {image} \n7,cat,a.jpg\n")
    assert captions(read("t.csv")) == [("a.jpg", ("cat",))]


def test_the_likeliest_columns_are_taken_unless_others_are_named() -> None:
    write("t.csv", "label,caption,path,filepath,url\ncat,a cat,a.jpg,b.jpg,c.jpg\n")
    assert captions(read("t.csv")) == [("b.jpg", ("a cat",))]
    assert captions(read("t.csv", image="url")) == [("c.jpg", ("a cat",))]
    assert captions(read("t.csv", image="path", caption="label")) == [("a.jpg", ("cat",))]


def test_a_key_may_be_missing_in_some_lines_of_json() -> None:
    write("t.jsonl", '{"file": "a.jpg"}\n{"text": "cat"}\n{"file": "b.jpg", "text": "dog"}\n')
    found = read("t.jsonl")
    assert captions(found) == [("b.jpg", ("dog",))]
    assert reasons(found) == [("a.jpg", "no caption"), ("t.jsonl line 2", "no image path")]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "t.csv",
            b'path,text\nz.jpg,"good\n..."\na.jpg,\n,cat\n"\n ",cat\nb.jpg, \n'
            b"c.jpg,caf\xe9\nd.jpg,c\0a\0t\ne.jpg\n\0,cat\n",
            [
                *(("a.jpg", "no caption"), ("t.csv line 5", "no image path"), ("t.csv line 6", "no image path")),
                *(("b.jpg", "no caption"), ("c.jpg", "caption is not UTF-8"), ("d.jpg", "caption is not UTF-8")),
                *(("e.jpg", "no caption"), ("t.csv line 12", "image path is not text")),
            ],
        ),
        (
            "t.jsonl",
            b'{"path": "z.jpg", "text": "good\\n..."}\n{"path": "a.jpg", "text": null}\n{"path": [7], "text": "cat"}\n'
            b'{"path": null, "text": "cat"}\n{"path": "b.jpg", "text": 7}\n{"path": "c.jpg", "text": "caf\xe9"}\n'
            b'{"path": "d.jpg", "text": "\\ud800"}\n{"path": "e.jpg", "text": ["cat", 7]}\n',
            [
                *(("a.jpg", "no caption"), ("t.jsonl line 3", "image path is not text")),
                *(("t.jsonl line 4", "no image path"), ("b.jpg", "caption is not text")),
                *(("c.jpg", "caption is not UTF-8"), ("d.jpg", "caption is not UTF-8")),
                ("e.jpg", "caption is not text"),
            ],
        ),
    ],
)
def test_a_row_without_an_image_or_a_caption_is_skipped(name: str, content: bytes, expected: list[Any]) -> None:
    write(name, content)
    found = read(name)
    assert captions(found) == [("z.jpg", ("good\n...",))]
    assert reasons(found) == expected


def test_a_path_that_is_not_utf8_names_its_file() -> None:
    odd = os.fsdecode(b"\xff.jpg")
    write(odd, b"odd")
    write("t.csv", b"path,text\n\xff.jpg,cat\n")
    (pair,) = read("t.csv").pairs
    assert (pair.item.id, read_bytes(pair.item.reference)) == (odd, b"odd")


def test_a_path_may_be_absolute_and_its_file_may_be_missing(tmp_path: Path) -> None:
    write("a.jpg", b"a")
    write("d/t.csv", f"path,text\n{tmp_path}/a.jpg,cat\nmissing.jpg,dog\n")
    a, missing = read("d/t.csv").pairs
    assert (a.item.id, read_bytes(a.item.reference)) == (f"{tmp_path}/a.jpg", b"a")
    with pytest.raises(FileNotFoundError):
        read_bytes(missing.item.reference)


FLAGS = "name the columns with --image-column and --caption-column"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "t.csv line 1: an empty table; begin with the names of its columns"),
        ("t.jsonl", "\n", "t.jsonl line 1: an empty table; write one JSON object a line"),
        ("t.csv", "id,caption\n", "t.csv: no image column ('filepath', 'file_name', 'filename', 'image', "),
        (
            "t.csv",
            "path,id\n",
            "no caption column ('caption', 'captions', 'text', 'title', 'label', 'comment') among its columns ",
        ),
        ("t.csv", "a,b\n", f" among its columns 'a', 'b'; {FLAGS}"),
        ("t.tsv", "path,text\na.jpg,cat\n", f"'path,text'; {FLAGS}"),
        ("t.jsonl", '{"a": 1}\n{"b": 2}\n', f"'a', 'b'; {FLAGS}"),
        ("t.csv", b"\xff\xfep\0a\0t\0h\0", "t.csv line 1: not UTF-8; save the table as UTF-8"),
        ("t.csv", '"path,text\na.jpg,cat\n', "t.csv line 1: unexpected end of data; is a quote missing?"),
        ("t.csv", 'path,text\na.jpg,cat\nb.jpg,"a "small" cat"\n', "t.csv line 3: ',' expected after '\"'; is a quote"),
        (
            "t.csv",
            'path,text\n"a\n.jpg",cat\nb.jpg,"a cat\n',
            "t.csv line 4: unexpected end of data; is a quote missing?",
        ),
        (
            "t.jsonl",
            '{"path": "a.jpg", "text": "cat"}\n\n{"path":\n',
            "t.jsonl line 3: not JSON: Expecting value; write ",
        ),
        ("t.jsonl", "[" * 100_000, "t.jsonl line 1: not JSON: it nests too deep; write one JSON object a line"),
        ("t.json", "[" * 100_000, "t.json: not JSON: it nests too deep; a table"),
        ("t.json", "[" + "9" * 5000, "t.json: not JSON: Exceeds the limit (4300 digits)"),
        ("t.jsonl", '["a.jpg", "cat"]', "t.jsonl line 1: not a JSON object; write one JSON object a line"),
        ("t.parquet", "path,text\n", "cannot read t.parquet: Parquet magic bytes not found"),
    ],
)
def test_a_table_that_is_none_is_an_error_with_its_line(name: str, content: str | bytes, message: str) -> None:
    write(name, content)
    with pytest.raises(BadFile, match=re.escape(message)) as caught:
        read(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("image", "caption"), [("Photo", None), (None, "Words")])
def test_a_column_that_was_named_must_be_there(image: str | None, caption: str | None) -> None:
    write("t.csv", "path,text\na.jpg,cat\n")
    kind, name = ("image", image) if image else ("caption", caption)
    message = f"t.csv: no {kind} column ('{name}') among its columns 'path', 'text'; {FLAGS}"
    with pytest.raises(BadFile, match=f"^{re.escape(message)}$"):
        read("t.csv", image=image, caption=caption)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,text\n", "no pairs found in t.csv: it is empty; give data with images and captions"),
        (
            "path,text\na.jpg,\n,b\n",
            "no pairs found in t.csv: 2 skipped, the first, a.jpg, for 'no caption'; give each",
        ),
        (
            "path,text\na.jpg,a cat, a dog\n",
            "no pairs found in t.csv: 1 skipped, the first, t.csv line 2, for '3 fields for 2 columns'; give",
        ),
    ],
)
def test_a_table_without_pairs_is_an_error(content: str, message: str) -> None:
    write("t.csv", content)
    with pytest.raises(InputNotFound, match=re.escape(message)):
        read("t.csv")


@pytest.fixture(params=["folder", "zip"])
def imagefolder(request: pytest.FixtureRequest) -> Callable[[dict[str, str]], str]:
    """Files in a folder or a zip, of which the name is returned."""

    def make(files: dict[str, str]) -> str:
        if request.param == "folder":
            for name, content in files.items():
                write(f"d/{name}", content)
            return "d"
        with zipfile.ZipFile("d.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return "d.zip"

    return make


def test_metadata_names_the_images_below_it(imagefolder: Callable[[dict[str, str]], str]) -> None:
    data = imagefolder(
        {
            "metadata.csv": "file_name,caption,text\nz.jpg,no,a zebra\n./cat/a.jpg,no,a cat\nno.jpg,x,y\n,x,y\n",
            "test/metadata.jsonl": '{"file_name": "b.jpg", "label": "boat"}\n{"file_name": "../z.jpg", "label": "two"}',
            **{name: name for name in ("z.jpg", "cat/a.jpg", "cat/a.txt", "cat/other.jpg", "test/b.jpg", "test/z.jpg")},
        }
    )
    found = read(data)
    assert captions(found) == [
        (f"{data}/z.jpg", ("a zebra", "two")),
        (f"{data}/cat/a.jpg", ("a cat",)),
        (f"{data}/test/b.jpg", ("boat",)),
    ]
    assert [read_bytes(pair.item.reference) for pair in found.pairs] == [b"z.jpg", b"cat/a.jpg", b"test/b.jpg"]
    assert reasons(found) == [
        (f"{data}/metadata.csv line 4", "no image 'no.jpg'"),
        (f"{data}/metadata.csv line 5", "no image path"),
        (f"{data}/cat/other.jpg", "not in metadata"),
        (f"{data}/test/z.jpg", "not in metadata"),
    ]


def test_metadata_may_have_other_columns_that_are_named(imagefolder: Callable[[dict[str, str]], str]) -> None:
    data = imagefolder({"metadata.csv": "img,words\na.jpg,a cat\n", "a.jpg": ""})
    assert captions(read(data, image="img", caption="words")) == [(f"{data}/a.jpg", ("a cat",))]
    with pytest.raises(BadFile, match=rf"^{data}/metadata.csv: no image column \('file_name'\) and no caption column "):
        read(data)


def test_parquet_names_images_or_holds_them() -> None:
    write("d/a.jpg", b"a")
    paths = pa.table({"path": ["a.jpg", "b.jpg", "a.jpg", "", None], "text": ["one", None, "two", "x", "y"]})
    pq.write_table(paths, "d/t.parquet", row_group_size=2)
    found = read("d/t.parquet")
    assert captions(found) == [("d/a.jpg", ("one", "two"))]
    assert read_bytes(found.pairs[0].item.reference) == b"a"
    assert reasons(found) == [
        ("d/b.jpg", "no caption"),
        ("d/t.parquet row 4", "no image path"),
        ("d/t.parquet row 5", "no image path"),
    ]


CELLS = [b"zero", b"one", b"two", b"three", b"four"]


@pytest.mark.parametrize(
    "cells",
    [
        pa.array(CELLS),
        pa.array(CELLS, pa.large_binary()),
        pa.array([{"bytes": cell, "path": None} for cell in CELLS]),
        pa.array([*({"bytes": cell, "path": "same.jpg"} for cell in CELLS[:4]), {"bytes": None, "path": "four.jpg"}]),
    ],
    ids=["binary", "large", "struct", "path"],
)
def test_images_in_cells_are_read_when_asked_for(cells: pa.Array, monkeypatch: pytest.MonkeyPatch) -> None:
    write("d/four.jpg", b"four")
    texts = [["0"], ["1", " uno "], [], ["3"], ["4"]]
    pq.write_table(pa.table({"image": cells, "captions": texts}), "d/t.parquet", row_group_size=2)
    read_groups: list[tuple[int, list[str]]] = []
    read_row_group = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, n, columns: read_groups.append((n, columns)) or read_row_group(self, n, columns),
    )
    found = read("d/t.parquet")
    assert read_groups == []
    assert captions(found) == [
        *(("d/t.parquet row 1", ("0",)), ("d/t.parquet row 2", ("1", "uno"))),
        *(("d/t.parquet row 4", ("3",)), ("d/t.parquet row 5", ("4",))),
    ]
    assert reasons(found) == [("d/t.parquet row 3", "no caption")]
    assert [read_bytes(pair.item.reference) for pair in found.pairs] == [b"zero", b"one", b"three", b"four"]
    assert read_groups == [(0, ["image"]), (1, ["image"]), (2, ["image"])]
    assert reference._row_group.cache_info().maxsize == 4


def test_a_parquet_that_was_written_anew_is_read_anew() -> None:
    for content in (b"old", b"new"):
        pq.write_table(pa.table({"image": [content], "text": ["cat"]}), "t.parquet")
        os.utime("t.parquet", ns=(0, content[0]))
        assert read_bytes(read("t.parquet").pairs[0].item.reference) == content


def test_an_empty_cell_is_a_bad_image() -> None:
    cells = pa.array([{"bytes": None, "path": None}, None], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    pq.write_table(pa.table({"image": cells, "text": ["cat", "dog"]}), "t.parquet")
    for pair in read("t.parquet").pairs:
        with pytest.raises(OSError, match=r"^no image in the cell$"):
            read_bytes(pair.item.reference)


def test_parquet_needs_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    write("t.parquet")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"^parquet needs pyarrow; run pip install pyarrow, or use a "):
        read("t.parquet")
