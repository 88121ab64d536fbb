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
from clipcli.records import Row
from clipcli.scoring.schema import rounded

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_TEXTS = st.text(_CHARACTERS, max_size=8) | st.text(" ,;\"\r\n\t'#\\u\u2028é猫", max_size=6)
_NAMES = _TEXTS | st.binary(max_size=8).map(lambda name: os.fsdecode(name.replace(b"\0", b"")))
_SCORES = st.floats(-1, 1)
_ROWS = st.builds(
    lambda path, labels, scores: Row(path, labels, scores),
    _NAMES,
    st.tuples(_TEXTS, _TEXTS),
    st.tuples(_SCORES, _SCORES),
) | st.builds(lambda path, reason: Row(path, (), (), reason or "bad"), _NAMES, _TEXTS)
_BATCHES = st.lists(st.lists(_ROWS, min_size=1, max_size=3), max_size=3)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cut") / "out"


def _written(file: Path, format: str, batches: Sequence[Sequence[Row]]) -> tuple[bytes, list[int]]:
    """What is in the file, and how long it was after each batch."""
    writer = WRITERS[format].writer(str(file), top_k=2)
    ends = []
    for rows in batches:
        writer.write(rows)
        ends.append(file.stat().st_size)
    writer.close()
    return file.read_bytes(), ends


def _as_held(row: Row, format: str) -> Row:
    row = replace(row, scores=tuple(map(rounded, row.scores)))
    if format != "parquet":
        return row
    path, *labels = (text.encode("utf-8", "backslashreplace").decode() for text in (row.path, *row.labels))
    return replace(row, path=path, labels=tuple(labels))


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
    read = list(WRITERS[format].read_rows(str(file), top_k=2))
    kept = [rows for rows, end in zip(batches, ends, strict=True) if end <= cut]
    assert read == [_as_held(row, format) for rows in kept for row in rows]
    if format != "parquet":
        assert whole.startswith(_written(file, format, [read])[0])
