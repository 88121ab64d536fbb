"""A fingerprint tells weights apart by what is in them, and by nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clipcli.backbones import directory
from clipcli.backbones.checkpoint import CONFIG_NAME, Checkpoint, fingerprint_of, read_config
from clipcli.errors import BadFile, ModelUnavailable
from clipcli.events import Event

MODEL_CFG: dict[str, Any] = {"embed_dim": 4, "vision_cfg": {"width": 8}, "text_cfg": {"width": 8}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / CONFIG_NAME).write_text(json.dumps({"model_cfg": MODEL_CFG, "preprocess_cfg": {"mean": [0.5] * 3}}))
    (path / directory.WEIGHTS_NAMES[0]).write_bytes(b"weights")
    return path


def _fetch(model: str | Path) -> Checkpoint:
    fetch = directory.find(str(model))
    assert fetch is not None

    def run() -> Generator[Event, None, list[Checkpoint]]:
        return [(yield from fetch())]

    steps = run()
    with pytest.raises(StopIteration) as stopped:
        next(steps)
    (checkpoint,) = stopped.value.value
    return checkpoint


def test_a_fingerprint_is_64_hexadecimal_digits(folder: Path) -> None:
    assert len(bytes.fromhex(fingerprint_of(_fetch(folder)))) == 32


def test_the_same_files_have_the_same_fingerprint_elsewhere(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "renamed")
    (tmp_path / "link").symlink_to(folder)
    expected = fingerprint_of(_fetch(folder))
    assert fingerprint_of(_fetch(copy)) == fingerprint_of(_fetch(tmp_path / "link")) == expected
    assert fingerprint_of(_fetch(f"local-dir:{folder}")) == expected


def test_the_order_of_the_configuration_does_not_matter(folder: Path) -> None:
    checkpoint = _fetch(folder)
    turned = dict(reversed(list(MODEL_CFG.items())))
    assert fingerprint_of(replace(checkpoint, model_cfg=turned)) == fingerprint_of(checkpoint)


@pytest.mark.parametrize("weights", [b"weightz", b"weights ", b""])
def test_other_weights_have_another_fingerprint(folder: Path, weights: bytes) -> None:
    before = fingerprint_of(_fetch(folder))
    # Written elsewhere and moved in, as a training run does.
    part = folder / "part"
    part.write_bytes(weights)
    os.utime(part, (1, 1))
    part.replace(folder / directory.WEIGHTS_NAMES[0])
    assert fingerprint_of(_fetch(folder)) != before


@pytest.mark.parametrize("changes", [{"quick_gelu": True}, {"text_cfg": {"width": 8, "context_length": 64}}])
def test_another_architecture_has_another_fingerprint(folder: Path, changes: dict[str, Any]) -> None:
    checkpoint = _fetch(folder)
    assert fingerprint_of(replace(checkpoint, model_cfg={**MODEL_CFG, **changes})) != fingerprint_of(checkpoint)


def test_another_tokenizer_in_the_folder_has_another_fingerprint(folder: Path) -> None:
    model_cfg = {**MODEL_CFG, "text_cfg": {"hf_tokenizer_name": "own"}}
    (folder / CONFIG_NAME).write_text(json.dumps({"model_cfg": model_cfg}))
    (folder / "tokenizer.json").write_text('{"vocab": {"cat": 0}}')
    before = fingerprint_of(_fetch(folder))
    (folder / "tokenizer.json").write_text('{"vocab": {"cat": 1}}')
    assert fingerprint_of(_fetch(folder)) != before


def test_a_file_of_the_hub_cache_is_known_by_its_name(folder: Path, tmp_path: Path) -> None:
    checkpoint = _fetch(folder)
    digest = hashlib.sha256(checkpoint.weights.read_bytes()).hexdigest()
    blob = tmp_path / "models--x" / "blobs" / digest
    link = tmp_path / "models--x" / "snapshots" / "main" / "open_clip_model.safetensors"
    blob.parent.mkdir(parents=True)
    link.parent.mkdir(parents=True)
    blob.write_bytes(b"never read")
    link.symlink_to(blob)
    assert fingerprint_of(replace(checkpoint, weights=link)) == fingerprint_of(checkpoint)


@pytest.mark.parametrize("name", ["short", "G" * 64, "0" * 40])
def test_a_name_that_is_no_digest_is_not_believed(folder: Path, tmp_path: Path, name: str) -> None:
    checkpoint = _fetch(folder)
    blob = tmp_path / "blobs" / name
    blob.parent.mkdir()
    shutil.copy(checkpoint.weights, blob)
    assert fingerprint_of(replace(checkpoint, weights=blob)) == fingerprint_of(checkpoint)


def test_a_configuration_is_the_model_and_its_preprocessing(folder: Path) -> None:
    expected = {"model_cfg": MODEL_CFG, "preprocess_cfg": {"mean": [0.5] * 3}, "precision": None}
    assert read_config(folder / CONFIG_NAME, name="x") == expected


def test_a_configuration_may_state_the_precision(folder: Path) -> None:
    path = folder / CONFIG_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"precision": "fp32"}))
    assert read_config(path, name="x")["precision"] == "fp32"
    assert _fetch(folder).precision == "fp32"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"precision": "fp8"}))
    with pytest.raises(BadFile, match="precision is one of auto, "):
        read_config(path, name="x")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", b'{"model_cfg": {}}', b'{"model_cfg": {"embed_dim": 4}}', b"\xff"],
)
def test_a_configuration_that_cannot_be_used_is_a_bad_file(folder: Path, content: bytes) -> None:
    (folder / CONFIG_NAME).write_bytes(content)
    with pytest.raises(BadFile, match=CONFIG_NAME):
        read_config(folder / CONFIG_NAME, name="x")


@pytest.mark.parametrize("missing", [CONFIG_NAME, directory.WEIGHTS_NAMES[0]])
def test_a_folder_without_a_model_says_what_is_missing(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelUnavailable, match=missing):
        _fetch(folder)
