"""An output that was cut at any byte gives back its whole rows, and they are written anew as the same bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcli.outputs import WRITERS
from clipcli.outputs.read import read_begun, read_rows
from clipcli.records import Row
from clipcli.scoring.schema import Schema, rounded

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_TEXTS = st.text(_CHARACTERS, max_size=8) | st.text(" ,;\"\r\n\t'#\\u\u2028é猫", max_size=6)
_NAMES = _TEXTS | st.binary(max_size=8).map(lambda name: os.fsdecode(name.replace(b"\0", b"")))
_SCORES = st.floats(-1, 1)
_SCHEMA = Schema(top_k=2, kept=("who", "label"))
# A cell of JSON's may hold half of a character.
_CELLS = st.tuples(st.none() | _TEXTS, _TEXTS | st.just("half \ud800"))
_ROWS = st.builds(
    lambda path, labels, scores, cells: Row(path, labels, scores, None, cells),
    _NAMES,
    st.tuples(_TEXTS, _TEXTS),
    st.tuples(_SCORES, _SCORES),
    _CELLS,
) | st.builds(lambda path, reason, cells: Row(path, (), (), reason or "bad", cells), _NAMES, _TEXTS, _CELLS)
_BATCHES = st.lists(st.lists(_ROWS, min_size=1, max_size=3), max_size=3)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cut") / "out"


def _written(file: Path, format: str, batches: Sequence[Sequence[Row]]) -> tuple[bytes, list[int]]:
    """What is in the file, and how long it was after each batch."""
    writer = WRITERS[format].writer(str(file), schema=_SCHEMA)
    ends = []
    for rows in batches:
        writer.write(rows)
        ends.append(file.stat().st_size)
    writer.close()
    return file.read_bytes(), ends


def _as_held(row: Row, format: str) -> Row:
    row = replace(row, scores=tuple(map(rounded, row.scores)))
    if format == "csv":
        return replace(row, kept=tuple(_plain(cell or "") for cell in row.kept))
    return row


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize("format", WRITERS)
@settings(max_examples=60, deadline=None)
@given(batches=_BATCHES, data=st.data())
def test_a_cut_output_gives_back_its_whole_rows(
    file: Path, format: str, batches: list[list[Row]], data: st.DataObject
) -> None:
    if format != "parquet":
        batches = [[row] for rows in batches for row in rows]
    whole, ends = _written(file, format, batches)
    cut = data.draw(st.integers(0, len(whole)))
    file.write_bytes(whole[:cut])
    found = read_begun(file)
    read = [] if found is None else list(found[1])
    kept = [rows for rows, end in zip(batches, ends, strict=True) if end <= cut]
    assert read == [_as_held(row, format) for rows in kept for row in rows]
    if format != "parquet":
        assert whole.startswith(_written(file, format, [read])[0])


@pytest.mark.parametrize("format", WRITERS)
@settings(max_examples=30, deadline=None)
@given(batches=_BATCHES.filter(bool))
def test_a_whole_output_gives_back_its_schema_and_rows(file: Path, format: str, batches: list[list[Row]]) -> None:
    _written(file, format, batches)
    schema, rows = read_rows(file)
    assert schema.columns == _SCHEMA.columns
    assert list(rows) == [_as_held(row, format) for rows in batches for row in rows]
