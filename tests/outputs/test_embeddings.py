"""Files of embeddings: each layout as other tools read it, and back as it was written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from clipcli.errors import BadFile, InputNotFound, OutputFailed, UnknownName, UsageError
from clipcli.outputs import embeddings as module
from clipcli.outputs.embeddings import FORMATS, Embeddings, LeftOut
from clipcli.records import ModelRecord

MODEL = ModelRecord("m", "fingerprint", "preprocessing", "fp32", None)
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
FOUND = Embeddings(("a.jpg", "b, c.jpg", "a.jpg"), MATRIX, "images", MODEL, (LeftOut(1, "bad.jpg", "truncated"),))
FILES = {"parquet": "e.parquet", "npy": "e.npy", "safetensors": "e.safetensors", "clip-retrieval": "folder"}


def same(one: Embeddings, other: Embeddings) -> bool:
    arrays = one.embeddings.tobytes() == other.embeddings.tobytes() and one.embeddings.shape == other.embeddings.shape
    return arrays and replace(one, embeddings=MATRIX) == replace(other, embeddings=MATRIX)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("of", ["images", "texts"])
def test_each_layout_is_read_as_it_was_written(
    tmp_path: Path, format: str, of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 2)
    found = replace(FOUND, of=of)
    found.save(tmp_path / FILES[format], format)
    assert same(Embeddings.load(tmp_path / FILES[format]), found)
    empty = replace(found, ids=(), embeddings=np.empty((0, 4), np.float32))
    (tmp_path / "none").mkdir()
    empty.save(tmp_path / "none" / FILES[format], format)
    assert Embeddings.load(tmp_path / "none" / FILES[format]).ids == ()


@pytest.mark.parametrize("format", FORMATS)
def test_names_that_are_not_utf8_are_read_back(tmp_path: Path, format: str) -> None:
    found = replace(FOUND, ids=("caf\udce9.jpg", r"caf\udce9.jpg", "a.jpg"))
    found.save(tmp_path / FILES[format], format)
    assert Embeddings.load(tmp_path / FILES[format]).ids == found.ids


def test_parquet_has_a_list_a_row(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "e.parquet")
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.column_names == ["path", "embedding"]
    assert str(table.schema.field("embedding").type) == "list<element: float>"
    assert table.to_pylist()[1] == {"path": "b, c.jpg", "embedding": [4.0, 5.0, 6.0, 7.0]}
    replace(FOUND, of="texts").save(tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").column_names == ["text", "embedding"]


def test_npy_is_a_matrix_with_ids_beside(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "e.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy"), MATRIX)
    about = json.loads((tmp_path / "e.npy.json").read_text())
    assert about["ids"] == ["a.jpg", "b, c.jpg", "a.jpg"]
    assert about["model"]["name"] == "m"
    assert about["skipped"] == [{"place": 1, "id": "bad.jpg", "reason": "truncated"}]


def test_safetensors_has_one_tensor(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "e.safetensors")
    [(name, tensor)] = load_file(tmp_path / "e.safetensors").items()
    assert name == "embeddings"
    np.testing.assert_array_equal(tensor, MATRIX)


def test_a_folder_is_as_clip_retrieval_has_it(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "folder", "clip-retrieval")
    np.testing.assert_array_equal(np.load(tmp_path / "folder/img_emb/img_emb_0.npy"), MATRIX)
    assert pq.read_table(tmp_path / "folder/metadata/metadata_0.parquet").to_pydict() == {
        "image_path": ["a.jpg", "b, c.jpg", "a.jpg"]
    }
    replace(FOUND, of="texts").save(tmp_path / "texts", "clip-retrieval")
    assert sorted(str(path.relative_to(tmp_path / "texts")) for path in (tmp_path / "texts").rglob("*.*")) == [
        "metadata/metadata_0.parquet",
        "text_emb/text_emb_0.npy",
    ]
    table = pq.read_table(tmp_path / "texts/metadata/metadata_0.parquet")
    assert table.column_names == ["caption"]


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"no file of embeddings .*e\.npy; make one with clipcli embed"):
        Embeddings.load(tmp_path / "e.npy")
    (tmp_path / "e.txt").touch()
    pq.write_table(pq.read_table(_parquet(tmp_path)).select(["embedding"]), tmp_path / "columns.parquet")
    np.save(tmp_path / "alone.npy", MATRIX)
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    for name in ("e.txt", "columns.parquet", "alone.npy", "torn.safetensors", "."):
        with pytest.raises(BadFile, match="holds no embeddings of clipcli"):
            Embeddings.load(tmp_path / name)
    FOUND.save(tmp_path / "short.npy")
    np.save(tmp_path / "short.npy", MATRIX[:2])
    with pytest.raises(BadFile, match="not whole"):
        Embeddings.load(tmp_path / "short.npy")


def _parquet(folder: Path) -> Path:
    FOUND.save(folder / "whole.parquet")
    return folder / "whole.parquet"


def test_formats_that_are_not_known_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the format of .*e\.txt is not clear from its name"):
        FOUND.save(tmp_path / "e.txt")
    with pytest.raises(UnknownName, match="unknown format 'hdf5'"):
        FOUND.save(tmp_path / "e.npy", "hdf5")
    with pytest.raises(OutputFailed, match="cannot write"):
        FOUND.save(tmp_path / "none" / "e.npy")
