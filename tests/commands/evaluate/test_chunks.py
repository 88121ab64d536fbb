"""Images in chunks."""

from __future__ import annotations

import pytest

from clipcli.commands.evaluate import chunks
from clipcli.commands.evaluate.chunks import in_chunks


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])])
def test_each_image_is_in_one_chunk(count: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "AT_ONCE", 4)
    parts = [list(range(count))[rows] for rows in in_chunks(count)]
    assert list(map(len, parts)) == sizes
    assert [n for part in parts for n in part] == list(range(count))
