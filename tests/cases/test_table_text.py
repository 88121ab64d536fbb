"""Tables of text as other programs write them: quotes, line ends, rows of other lengths, odd headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.data.images import list_images
from clipcli.data.pairs import PairOptions, PairsRead, read_pairs
from clipcli.data.tree import Data
from clipcli.errors import BadFile
from clipcli.notices import Notices


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(name: str, content: str | bytes) -> tuple[PairsRead, list[str]]:
    """The pairs of a table with this content, and what is said about it."""
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    notices = Notices()
    found = read_pairs(Data(name, notices), options=PairOptions(("a {}",)))
    return found, [event.message for event in notices.events()]


def captions(found: PairsRead) -> list[tuple[str, ...]]:
    return [pair.captions for pair in found.pairs]


def reasons(found: PairsRead) -> list[tuple[str, str]]:
    return [(one.item.id, one.reason) for one in found.skipped]


def test_a_quote_at_the_start_of_a_caption_takes_no_other_row() -> None:
    """pandas#22661, pandas#21695: 40 rows, of which the quotes of rows 3 and 30 swallowed 27."""
    texts = [f"a photo {n}" for n in range(40)]
    texts[3], texts[30] = '"Hello, she said', 'the end"'
    rows = [f"{n}.jpg\t{text}" for n, text in enumerate(texts)]
    found, said = read("t.tsv", "\n".join(["image\tcaption", *rows]) + "\n")
    assert captions(found) == [(text,) for text in texts]
    assert (said, found.skipped) == ([], [])


@pytest.mark.parametrize("text", ['"', '"a', 'a"', 'a "b" c', '"a" or "b"', 'a""b', '5" pipe', '""a'])
@pytest.mark.parametrize("last", [True, False])
def test_a_quote_that_does_not_enclose_a_field_is_text(text: str, last: bool) -> None:
    """pandas#21695, pandas#22661: the same with the caption in the last column and before others."""
    header, more = ("image\tcaption", "") if last else ("image\tcaption\tn", "\t7")
    rows = [f"a.jpg\t{text}{more}", f"b.jpg\ta cat{more}", f"c.jpg\t{text}{more}", f'd.jpg\ta dog"{more}']
    found, said = read("t.tsv", "\n".join([header, *rows]) + "\n")
    assert captions(found) == [(text,), ("a cat",), (text,), ('a dog"',)]
    assert (said, found.skipped) == ([], [])


def test_fields_that_are_quoted_as_pandas_writes_them() -> None:
    """What `to_csv(sep="\\t")` writes for quotes, tabs and line ends."""
    rows = ['a.jpg\t"say ""hi"""\t1', 'b.jpg\t"one\ttwo"\t2', 'c.jpg\t"three\n\nfour"\t3', 'd.jpg\t"plain"\t4']
    found, said = read("t.tsv", "\n".join(["image\tcaption\tn", *rows]) + "\n")
    assert captions(found) == [('say "hi"',), ("one\ttwo",), ("three\n\nfour",), ("plain",)]
    assert said == ["2 fields in quotes hold tabs or line ends, such as t.tsv line 3: it was read as one field"]
    found, _ = read("last.tsv", 'image\tcaption\na.jpg\t"one\ntwo"\nb.jpg\t"three\nfour\n')
    assert captions(found) == [("one\ntwo",), ('"three',)]
    assert reasons(found) == [("four", "no caption")]


def test_rows_with_fewer_fields_are_counted() -> None:
    """pandas#9729, pandas#22374: the cells that are missing are blank without a word."""
    found, said = read("t.csv", "image,caption,n\na.jpg,a cat\nb.jpg\nc.jpg,a dog,3\n")
    assert captions(found) == [("a cat",), ("a dog",)]
    assert reasons(found) == [("b.jpg", "no caption")]
    assert said == [
        "2 rows have fewer fields than the header, such as t.csv line 2: "
        "the cells that it lacks are blank; is a quote or a separator missing?"
    ]


def test_rows_with_more_fields_are_skipped_and_the_others_are_read() -> None:
    """fast-bert#96, docarray#1044: a caption with commas that is not in quotes ends the run, or is cut."""
    found, said = read("t.csv", 'image,caption\na.jpg,a cat, a dog\nb.jpg,"one, two"\nc.jpg,three,\n')
    assert captions(found) == [("one, two",), ("three",)]
    assert reasons(found) == [("t.csv line 2", "3 fields for 2 columns")]
    assert said == [
        "1 row has more fields than the header, t.csv line 2: "
        "it was skipped; put quotes around a text that holds the separator",
        "1 row has blank fields beyond the header, t.csv line 4: it was read without them",
    ]
    assert [item.id for item in list_images(["t.csv"])] == ["t.csv line 2", "b.jpg", "c.jpg"]


SWALLOWED = (
    "row goes over lines that seem to be rows themselves, t.csv line 2: it was read as one row; is a quote missing"
)


@pytest.mark.parametrize(
    "rows",
    [
        ['a.jpg,"a cat', "b.jpg,a dog", 'c.jpg,the end"', "d.jpg,a cow"],
        ['a.jpg,"a cat', *["and"] * 25, 'the end"', "d.jpg,a cow"],
    ],
)
def test_an_open_quote_that_swallows_rows_is_named(rows: list[str]) -> None:
    """pandas#22661: a quote that is closed many lines later."""
    found, said = read("t.csv", "\n".join(["image,caption", *rows]) + "\n")
    assert [pair.item.id for pair in found.pairs] == ["a.jpg", "d.jpg"]
    assert len(said) == 1
    assert SWALLOWED in said[0]


def test_a_name_with_a_line_break_is_no_mistake() -> None:
    """As `clipcli classify` writes it: the rest of the name is not taken for a row."""
    found, said = read("t.csv", 'image,caption\n"a\nb.jpg",a cat\n"x,\n""y"".jpg",a dog\n')
    assert [pair.item.id for pair in found.pairs] == ["a\nb.jpg", 'x,\n"y".jpg']
    assert said == []


def test_a_caption_of_several_lines_is_no_mistake() -> None:
    found, said = read("t.csv", 'image,caption\na.jpg,"one,\ntwo, three\nfour"\n')
    assert captions(found) == [("one,\ntwo, three\nfour",)]
    assert said == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_line_ends_of_any_system_and_a_byte_order_mark(end: str, mark: str) -> None:
    """Line ends of old Macs, and Excel's byte order mark."""
    lines = ["\ufeffimage|caption", "a.jpg|a cat", "b.jpg|a dog"]
    content = end.join([line.replace("|", mark) for line in lines]) + end
    found, said = read("t.tsv" if mark == "\t" else "t.csv", content)
    assert captions(found) == [("a cat",), ("a dog",)]
    assert said == []


def test_columns_without_a_name_and_of_one_name() -> None:
    """The index that pandas writes, and a second column of a name, which replaced the first."""
    found, said = read("t.csv", "\ufeff,image,caption,n,n,\n0,a.jpg,a cat,1,2,\n")
    assert captions(found) == [("a cat",)]
    assert said == [
        "2 columns have no name, such as column 1 of t.csv: it was left out",
        "1 column has the name of one before it, 'n' in t.csv: it was left out; give each a name of its own",
    ]
    assert [dict(item.cells) for item in list_images(["t.csv"], keep=["all"])] == [{"caption": "a cat", "n": "1"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_utf16_is_refused(name: str, encoding: str) -> None:
    """Excel's "Unicode text"."""
    with pytest.raises(BadFile, match=r"line 1: not UTF-8; save the table as UTF-8"):
        read(name, "image,caption\na.jpg,a cat\n".replace(",", "\t").encode(encoding))


def test_the_example_of_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "odd-data.md").read_text(encoding="utf-8")
    table, messages = page.split("## Tables and captions")[1].split("```\n")[1:4:2]
    Path("images").mkdir()
    for n in range(3):
        Path(f"images/0{n}.jpg").touch()
    found, said = read("t.csv", table)
    assert captions(found) == [("a cat, asleep",)]
    assert said == messages.splitlines()


def test_a_table_without_a_header_is_told_so() -> None:
    with pytest.raises(BadFile, match=r"its first line seems to be a row: put a line with the names of the columns"):
        read("t.csv", "a.jpg,a cat\nb.jpg,a dog\n")
