"""Manifests: what stands in them, that it comes back, and that no file of another kind is taken for one or replaced."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from clipcli.errors import BadFile
from clipcli.files.atomic import part_of
from clipcli.files.manifest import (
    Manifest,
    has_foreign_manifest,
    manifest_path,
    manifests_without_parts,
    now,
    read_manifest,
    remove_manifest,
    sha256_of,
    write_manifest,
)
from clipcli.records import PIXELS, ModelRecord, Provenance
from clipcli.version import __version__

MANIFEST = Manifest(
    provenance=Provenance(
        command="classify",
        settings={"inputs": ("photos", os.fsdecode(b"caf\xe9")), "top_k": 1, "model": None, "verify": False},
        model="tiny",
        classes=({"label": "cat", "aliases": ("猫", "kitten"), "descriptions": ()},),
        prompts="plain",
        templates=("a photo of {}",),
        classifier=None,
        inputs=("photos", os.fsdecode(b"caf\xe9")),
        images=3,
        images_digest="ab",
        kept=("who",),
    ),
    model=ModelRecord("tiny", "abcd", "64 pixels", "fp32", "cpu"),
    format="csv",
    begun="2026-01-02T03:04:05+00:00",
)


@pytest.mark.parametrize(
    "manifest",
    [
        MANIFEST,
        replace(MANIFEST, model=None),
        replace(MANIFEST, state="complete", rows=3, skipped=1, sha256="ef", finished=now()),
        replace(MANIFEST, provenance=replace(MANIFEST.provenance, templates=None, classifier="cd")),
    ],
)
def test_a_manifest_comes_back_as_it_was(tmp_path: Path, manifest: Manifest) -> None:
    output = tmp_path / "labels.csv"
    write_manifest(output, manifest)
    assert read_manifest(output) == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv.json"]


def test_one_of_an_earlier_version_has_the_pixels_of_then(tmp_path: Path) -> None:
    output = tmp_path / "labels.csv"
    write_manifest(output, MANIFEST)
    content = json.loads(manifest_path(output).read_text())
    del content["model"]["pixels"]
    manifest_path(output).write_text(json.dumps(content))
    read = read_manifest(output)
    assert read is not None
    assert read.model is not None
    assert read.model.pixels == 2 < PIXELS


def test_it_says_what_it_is_and_who_wrote_it(tmp_path: Path) -> None:
    write_manifest(tmp_path / "labels.csv", MANIFEST)
    text = (tmp_path / "labels.csv.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert (content["clipcli_manifest"], content["clipcli"]) == (1, __version__)
    assert content["provenance"]["classes"] == [{"label": "cat", "aliases": ["猫", "kitten"], "descriptions": []}]
    assert "猫" in text
    assert r"caf\udce9" in text


def test_a_manifest_that_is_there_is_replaced(tmp_path: Path) -> None:
    output = tmp_path / "labels.csv"
    write_manifest(output, MANIFEST)
    write_manifest(output, replace(MANIFEST, rows=3))
    assert (read_manifest(output) or MANIFEST).rows == 3


def test_without_a_manifest_there_is_none(tmp_path: Path) -> None:
    assert read_manifest(tmp_path / "labels.csv") is None
    assert not has_foreign_manifest(tmp_path / "labels.csv")
    remove_manifest(tmp_path / "labels.csv")


@pytest.mark.parametrize("text", ["", "precious", "[]", '{"clipcli": "0.1.0"}', '"clipcli_manifest"', "\x00\xff"])
def test_something_else_of_its_name_is_no_manifest_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.csv.json"
    path.write_text(text, encoding="latin-1")
    assert has_foreign_manifest(tmp_path / "labels.csv")
    with pytest.raises(BadFile, match=r"labels\.csv\.json is no manifest of clipcli"):
        read_manifest(tmp_path / "labels.csv")
    remove_manifest(tmp_path / "labels.csv")
    assert path.read_text(encoding="latin-1") == text


def test_a_folder_of_its_name_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "labels.csv.json").mkdir()
    assert has_foreign_manifest(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"clipcli_manifest": 1', '"clipcli_manifest": 2', "of another version"),
        ('"format": "csv",', "", "something missing"),
        ('"precision"', '"precise"', "something missing"),
        ('"format": "csv",', '"format": "csv", "more": 1,', "something missing"),
    ],
)
def test_a_manifest_that_reads_otherwise_is_refused_and_is_ours(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    output, path = tmp_path / "labels.csv", tmp_path / "labels.csv.json"
    write_manifest(output, MANIFEST)
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(BadFile, match=message):
        read_manifest(output)
    assert not has_foreign_manifest(output)
    remove_manifest(output)
    assert not path.exists()


def test_manifests_without_their_hidden_file_are_found(tmp_path: Path) -> None:
    target = tmp_path / "labels.csv"
    there, gone, other = part_of(target), part_of(target), part_of(tmp_path / "labels.csv.csv")
    there.touch()
    for part in (there, gone, other, target):
        write_manifest(part, MANIFEST)
    # What a kill leaves while a manifest is written.
    unfinished = {part_of(manifest_path(target)), part_of(manifest_path(gone))}
    for part in unfinished:
        part.touch()
    assert set(manifests_without_parts(target)) == {manifest_path(gone), *unfinished}


def test_a_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "abc") == expected


def test_times_are_of_now_in_utc() -> None:
    told = datetime.fromisoformat(now())
    assert told.utcoffset() == timedelta(0)
    assert abs(datetime.now(told.tzinfo) - told) < timedelta(minutes=1)
