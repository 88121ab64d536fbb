"""`--spreadsheet-safe`: nothing in a CSV is a formula, and every command reads the names themselves back."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcli.data.tables.formulas import (
    COLUMN,
    defused_cells,
    defused_columns,
    is_safe,
    original_cells,
    original_columns,
)
from clipcli.outputs.read import read_rows

from .conftest import Run

NAMES = ("=1+1.jpg", "+a.jpg", "-b.jpg", "@c.jpg", "\td.jpg", "'=e.jpg", "f;=g.jpg", "plain.jpg")
LABELS = '"=SUM(1,2)", -dog, @home'


@pytest.fixture
def odd(photos: Path, tmp_path: Path) -> tuple[str, ...]:
    """Photos in the working folder, called like formulas: their names as the list of them has them."""
    for name in NAMES:
        shutil.copy(photos / "a.jpg", tmp_path / name)
    (tmp_path / "list.txt").write_text("\n".join(NAMES[:4] + NAMES[5:]) + "\n")
    return NAMES[:4] + NAMES[5:]


def table(path: str) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def paths(path: str) -> list[str]:
    return [row.path for row in read_rows(path)[1]]


def label(model: str, *more: object) -> list[object]:
    return ["classify", "@list.txt", "--labels", LABELS, "--prompts", "plain", "--model", model, "-q", *more]


def test_no_cell_is_a_formula_and_clipcli_reads_the_names_back(run: Run, odd: tuple[str, ...], model: str) -> None:
    assert run(*label(model, "-o", "plain.csv")).code == 0
    assert run(*label(model, "-o", "safe.csv", "--spreadsheet-safe")).code == 0
    header, *rows = table("safe.csv")
    assert header == ["path", "label", "score", "error", "apostrophe_before"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[0][0] == "'=1+1.jpg"
    assert rows[0][-1] == ("path" if rows[0][1] == "home" else "path;label")
    assert rows[5][0] == "f;'=g.jpg"
    assert list(read_rows("safe.csv")[1]) == list(read_rows("plain.csv")[1])
    assert paths("safe.csv") == list(odd)
    # Without the option the names are as they are.
    assert [row[0] for row in table("plain.csv")[1:]] == list(odd)
    # Who says that the images are from strangers need not think of it.
    assert run(*label(model, "-o", "strange.csv", "--untrusted")).code == 0
    assert table("strange.csv") == table("safe.csv")


def test_resume_and_update_go_on_with_the_names(run: Run, odd: tuple[str, ...], model: str) -> None:
    first = label(model, "-o", "safe.csv", "--spreadsheet-safe", "--update")
    assert run(*first).code == 0
    before = Path("safe.csv").read_bytes()
    # It is up to date, and stays safe where the option is left out.
    assert run(*label(model, "-o", "safe.csv", "--update")).code == 0
    assert Path("safe.csv").read_bytes() == before
    Path("list.txt").write_text("\n".join(odd[:2]) + "\n")
    assert run(*label(model, "-o", "safe.csv", "--update")).code == 0
    assert table("safe.csv")[0][-1] == COLUMN
    assert paths("safe.csv") == list(odd[:2])
    # As Excel saves it where a comma is for decimals.
    rows = table("safe.csv")
    with open("safe.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    assert run(*label(model, "-o", "safe.csv", "--update")).code == 0
    assert paths("safe.csv") == list(odd[:2])
    assert table("safe.csv")[0][-1] == COLUMN


def test_a_run_that_was_stopped_is_resumed(run: Run, odd: tuple[str, ...], model: str) -> None:
    whole = label(model, "--spreadsheet-safe", "--batch-size", 1)
    assert run(*whole, "-o", "whole.csv").code == 0
    Path("list.txt").write_text("\n".join(odd[:3]) + "\n")
    assert run(*whole, "-o", "safe.csv").code == 0
    Path("list.txt").write_text("\n".join(odd) + "\n")
    assert run(*whole, "-o", "safe.csv", "--resume").code == 0
    assert Path("safe.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.parametrize("flag", ["--spreadsheet-safe", "--untrusted"])
def test_what_is_resumed_stays_safe(run: Run, odd: tuple[str, ...], model: str, flag: str) -> None:
    """Also where the flag is left out."""
    Path("list.txt").write_text("\n".join(odd[:2]) + "\n")
    assert run(*label(model, "-o", "safe.csv", flag)).code == 0
    Path("list.txt").write_text("\n".join(odd[:3]) + "\n")
    assert run(*label(model, "-o", "safe.csv", "--resume")).code == 0
    assert table("safe.csv")[0][-1] == COLUMN
    assert table("safe.csv")[1][0] == "'=1+1.jpg"
    assert paths("safe.csv") == list(odd[:3])


def test_review_sort_tag_and_evaluate_read_the_names(run: Run, odd: tuple[str, ...], model: str) -> None:
    assert run(*label(model, "-o", "safe.csv", "--spreadsheet-safe")).code == 0
    done = run("sort", "safe.csv", "--into", "sorted", "--list")
    assert done.code == 0, done.err
    assert "'=1" not in done.out
    assert all(name in done.out for name in odd[:4])
    assert run("tag", "safe.csv").code == 0
    assert run("review", "safe.csv", "--html", "page.html", "-q").code == 0
    assert '"=1+1.jpg"' in Path("page.html").read_text()
    measured = (
        "evaluate",
        "safe.csv",
        "--labels",
        LABELS,
        "--allow-empty",
        "--model",
        model,
        "--prompts",
        "plain",
        "-q",
    )
    done = run(*measured, "-o", "out", "--spreadsheet-safe")
    assert done.code == 0, done.err
    header, *rows = table("out/predictions.csv")
    assert header[-1] == COLUMN
    assert rows[0][0] == "'=1+1.jpg"
    # Which compares with itself by the names.
    done = run(*measured, "--compare", "out/predictions.csv")
    assert done.code == 0, done.err


def test_corrections_name_images_as_they_are(run: Run, odd: tuple[str, ...], model: str) -> None:
    assert run(*label(model, "-o", "safe.csv", "--spreadsheet-safe", "--update")).code == 0
    Path("right.csv").write_text(f"path,label,reviewed_at\n{odd[0]},-dog,2026-01-01T00:00:00+00:00\n")
    assert run(*label(model, "-o", "safe.csv", "--update", "--corrections", "right.csv")).code == 0
    row = next(iter(read_rows("safe.csv")[1]))
    assert (row.path, row.labels[0]) == (odd[0], "-dog")


def test_other_formats_need_it_not(run: Run, odd: tuple[str, ...], model: str) -> None:
    done = run(*label(model, "-o", "safe.jsonl", "--spreadsheet-safe"))
    assert (done.code, odd[0]) == (2, "=1+1.jpg")
    assert done.err == "clipcli: --spreadsheet-safe is for CSV, and jsonl holds no formulas; drop it\n"


def test_a_wide_output_has_safe_columns(run: Run, odd: tuple[str, ...], model: str) -> None:
    assert run(*label(model, "-o", "wide.csv", "--multi-label", "--wide", "--spreadsheet-safe")).code == 0
    assert table("wide.csv")[0] == ["path", "labels", "'=SUM(1,2)", "'-dog", "'@home", "error", COLUMN]
    schema, rows = read_rows("wide.csv")
    assert schema.wide == ("=SUM(1,2)", "-dog", "@home")
    assert [row.path for row in rows] == list(odd)


def test_a_table_that_names_no_columns_is_an_error(run: Run, photos: Path, labels: Path, model: str) -> None:
    Path("t.csv").write_text(f"path,{COLUMN}\n{photos / 'a.jpg'},nothing\n")
    done = run("classify", "t.csv", "--labels", labels, "--model", model, "-q")
    assert done.code == 2
    assert f"t.csv line 2: {COLUMN} names no columns; mend the row, or take it out" in done.err


@given(st.lists(st.text("'=+-@\t\r\n;a\"＝"), min_size=1, max_size=4))
def test_any_text_is_defused_and_read_back(texts: list[str]) -> None:
    columns = [f"{text}{n}" for n, text in enumerate(texts)]
    header = defused_columns(columns)
    cells = [str(cell) for cell in defused_cells(columns, texts, texts=[True] * len(texts))]
    assert not [cell for cell in (*header, *cells) if cell.startswith(tuple("=+-@\t\r\n＝"))]
    assert is_safe(header)
    assert original_columns(header) == columns
    assert original_cells(header, cells) == texts


def test_parts_are_merged_as_they_are(run: Run, odd: tuple[str, ...], model: str) -> None:
    assert run(*label(model, "-o", "whole.csv", "--spreadsheet-safe")).code == 0
    for n in (0, 1):
        assert run(*label(model, "-o", f"{n}.csv", "--spreadsheet-safe", "--shard", f"{n}/2")).code == 0
    done = run("merge", "0.csv", "1.csv", "-o", "merged.csv")
    assert done.code == 0, done.err
    assert Path("merged.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert paths("merged.csv") == list(odd)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_parts_are_safe_where_any_is(run: Run, odd: tuple[str, ...], model: str, suffix: str) -> None:
    """In any order; a part in another format is safe by what its manifest says."""
    assert run(*label(model, "-o", f"0.{suffix}", "--untrusted", "--shard", "0/2")).code == 0
    assert run(*label(model, "-o", f"1.{suffix}", "--shard", "1/2")).code == 0
    for n, order in enumerate([(0, 1), (1, 0)]):
        assert run("merge", *(f"{part}.{suffix}" for part in order), "-o", f"merged-{n}.csv").code == 0
        assert table(f"merged-{n}.csv")[0][-1] == COLUMN
        assert paths(f"merged-{n}.csv") == list(odd)
