"""Images of tables: one item for each row, in order, with the cells that are carried through."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_data import sharded

from clipcli.data.columns import cell_text
from clipcli.data.images import list_images
from clipcli.data.reference import NoImage, read
from clipcli.errors import BadFile, InputNotFound, UsageError
from clipcli.records import ImageItem

ROWS: list[dict[str, Any]] = [
    {"file": "a.jpg", "split": "val", "size": 3},
    {"file": "q/b.jpg", "split": None, "size": 4},
    {"file": "", "split": "val", "size": 5},
    {"file": "gone.jpg", "split": "test", "size": 6},
    {"file": "a.jpg", "split": "again", "size": 7},
]


def as_csv(rows: list[dict[str, Any]], path: Path, mark: str = ",") -> None:
    lines = [mark.join("" if value is None else str(value) for value in row.values()) for row in rows]
    path.write_text("\n".join([mark.join(rows[0]), *lines]) + "\n")


def as_tsv(rows: list[dict[str, Any]], path: Path) -> None:
    as_csv(rows, path, "\t")


def as_jsonl(rows: list[dict[str, Any]], path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)


WRITE: dict[str, Callable[[list[dict[str, Any]], Path], None]] = {
    "csv": as_csv,
    "tsv": as_tsv,
    "jsonl": as_jsonl,
    "parquet": as_parquet,
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("d/a.jpg", "d/q/b.jpg", "elsewhere.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())


def where(item: ImageItem) -> str:
    """Where an item is, or why it is nowhere."""
    try:
        return read(item.reference).decode()
    except (NoImage, OSError) as e:
        return str(e)


@pytest.mark.parametrize("form", WRITE)
def test_each_row_is_an_item_in_order(form: str) -> None:
    WRITE[form](ROWS, Path(f"d/t.{form}"))
    items = list_images([f"d/t.{form}"])
    place = "row 3" if form == "parquet" else "line 3" if form == "jsonl" else "line 4"
    assert [item.id for item in items] == ["d/a.jpg", "d/q/b.jpg", f"d/t.{form} {place}", "d/gone.jpg", "d/a.jpg"]
    read_there = [where(item) for item in items]
    assert read_there[:3] == ["d/a.jpg", "d/q/b.jpg", "no image path"]
    assert "No such file" in read_there[3]
    assert [item.cells for item in items] == [{}] * 5


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize(
    ("keep", "columns"),
    [
        (["split"], ["split"]),
        (["size", "split"], ["split", "size"]),
        (["all"], ["split", "size"]),
        (["file", "size"], ["file", "size"]),
    ],
)
def test_columns_are_carried_through_as_text(form: str, keep: list[str], columns: list[str]) -> None:
    WRITE[form](ROWS, Path(f"d/t.{form}"))
    items = list_images([f"d/t.{form}"], keep=keep)
    # Tables of text have no null: an empty field stands for it.
    null = "" if form in ("csv", "tsv") else None
    expected = [{name: null if row[name] is None else str(row[name]) for name in columns} for row in ROWS]
    assert [dict(item.cells) for item in items] == expected
    assert [list(item.cells) for item in items] == [columns] * 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("  as it is ", "  as it is "),
        (3, "3"),
        (0.5, "0.5"),
        (True, "true"),
        (["é", 1], '["é", 1]'),
        ({"a": None}, '{"a": null}'),
        (b"caf\xe9", "caf\\xe9"),
    ],
)
def test_a_cell_as_text(value: object, text: str | None) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize("form", WRITE)
def test_a_column_that_no_table_has_is_an_error(form: str) -> None:
    WRITE[form](ROWS, Path(f"d/t.{form}"))
    with pytest.raises(UsageError, match=r"^no table has a column 'sp1it'; its columns are 'file', 'split', 'size'$"):
        list_images([f"d/t.{form}"], keep=["size", "sp1it"])
    with pytest.raises(UsageError, match=r"^no table has a column 'size'; there is no table among the inputs$"):
        list_images(["d/a.jpg"], keep=["size"])


def test_a_column_need_be_in_one_of_the_tables_only() -> None:
    as_csv(ROWS[:1], Path("d/t.csv"))
    Path("d/u.csv").write_text("image,note\nq/b.jpg,seen\n")
    items = list_images(["d/t.csv", "d/a.jpg", "d/u.csv"], keep=["note", "size"])
    assert [dict(item.cells) for item in items] == [{"size": "3"}, {}, {"note": "seen"}]


def test_the_column_of_images_may_be_named() -> None:
    Path("d/t.csv").write_text("file,mask\na.jpg,q/b.jpg\n")
    assert [item.id for item in list_images(["d/t.csv"], image_column="mask")] == ["d/q/b.jpg"]
    with pytest.raises(
        BadFile,
        match=r"^d/t.csv: no image column \('photo'\) among its columns 'file', 'mask'; name the column with --image-",
    ):
        list_images(["d/t.csv"], image_column="photo")


def test_paths_are_beside_the_table_else_from_the_working_folder() -> None:
    Path("d/t.csv").write_text("file\na.jpg\nelsewhere.jpg\nnowhere.jpg\n")
    assert [item.id for item in list_images(["d/t.csv"])] == ["d/a.jpg", "elsewhere.jpg", "d/nowhere.jpg"]


def test_what_classify_wrote_can_be_classified_again() -> None:
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr("in/c.jpg", "z.zip/in/c.jpg")
    sharded(Path("s-0.tar"), {"k/d.jpg": b"s-0.tar/k/d.jpg", "k/d.txt": b"text"})
    pq.write_table(pa.table({"image": [{"bytes": b"p.parquet row 1", "path": None}] * 1}), "p.parquet")
    first = list_images(["d", "z.zip", "s-0.tar", "p.parquet", "elsewhere.jpg"])
    assert [item.id for item in first][2:5] == ["z.zip/in/c.jpg", "s-0.tar/k/d.jpg", "p.parquet row 1"]
    Path("out").mkdir()
    Path("out/labels.csv").write_text("path,label,score,error\n" + "".join(f"{item.id},cat,0.5,\n" for item in first))
    again = list_images(["out/labels.csv"], keep=["label"])
    assert [item.id for item in again] == [item.id for item in first]
    assert [where(item) for item in again] == [where(item) for item in first] == [item.id for item in first]
    assert {item.cells["label"] for item in again} == {"cat"}


@pytest.mark.parametrize("struct", [False, True])
def test_images_in_cells_of_parquet(struct: bool) -> None:
    cells: list[Any] = [b"zero", b"one", None]
    if struct:
        cells = [{"bytes": cell, "path": "../elsewhere.jpg" if cell is None else None} for cell in cells]
    table = {"image": cells, "more": cells, "tags": [["a"], [], None], "n": [1, 2, 3]}
    pq.write_table(pa.table(table), "d/t.parquet", row_group_size=2)
    items = list_images(["d/t.parquet"], keep=["all"])
    assert [item.id for item in items] == [f"d/t.parquet row {n}" for n in (1, 2, 3)]
    assert [where(item) for item in items] == ["zero", "one", "elsewhere.jpg" if struct else "no image in the cell"]
    assert [dict(item.cells) for item in items] == [
        {"tags": '["a"]', "n": "1"},
        {"tags": "[]", "n": "2"},
        {"tags": None, "n": "3"},
    ]
    # A cell that may name a file does not change with its table alone.
    assert [item.file for item in items] == ["d/t.parquet", "d/t.parquet", None if struct else "d/t.parquet"]
    assert len(list_images(["d/t.parquet"])) == 3


def test_a_table_inside_a_zip() -> None:
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr("in/c.jpg", "c")
        archive.writestr("in/list.csv", "file,note\nc.jpg,good\nno.jpg,gone\n./c.jpg,twice\n")
    items = list_images(["z.zip/in/list.csv"], keep=["note"])
    assert [(item.id, where(item), item.cells["note"]) for item in items] == [
        ("z.zip/in/c.jpg", "c", "good"),
        ("z.zip/in/list.csv line 3", "no image 'no.jpg'", "gone"),
        ("z.zip/in/c.jpg", "c", "twice"),
    ]
    assert [item.id for item in list_images(["z.zip"])] == ["z.zip/in/c.jpg"]


@pytest.mark.parametrize("place", ["d", "z.zip"])
def test_metadata_of_a_tree_is_carried_through(place: str) -> None:
    files = {"metadata.csv": "file_name,split\nq/b.jpg,val\nno.jpg,val\nq/b.jpg,again\n", "a.jpg": "", "q/b.jpg": ""}
    if place == "d":
        for name, text in files.items():
            Path("d", name).write_text(text)
    else:
        with zipfile.ZipFile("z.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    assert [item.id for item in list_images([place])] == [f"{place}/a.jpg", f"{place}/q/b.jpg"]
    assert [dict(item.cells) for item in list_images([place], keep=["split"])] == [{}, {"split": "val"}]
    with pytest.raises(UsageError, match=r"^no table has a column 'x'; its columns are 'file_name', 'split'$"):
        list_images([place], keep=["x"])


def test_a_table_without_rows_is_an_error() -> None:
    Path("d/t.csv").write_text("file\n")
    with pytest.raises(InputNotFound, match=r"^no images in d/t.csv; it has no rows$"):
        list_images(["d/t.csv"])


def test_a_table_that_a_list_or_a_glob_names_is_no_image() -> None:
    as_csv(ROWS, Path("d/t.csv"))
    Path("list.txt").write_text("d/t.csv\nd/a.jpg\n")
    assert [item.id for item in list_images(["@list.txt"])] == ["d/t.csv", "d/a.jpg"]
    assert [item.id for item in list_images(["d/*.*"])] == ["d/a.jpg", "d/t.csv"]
