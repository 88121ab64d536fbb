"""Merging 1,000 shards, of which some fail: nothing is lost, doubled or shifted, and what is wrong is said."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from clipcli.errors import BadFile, ClipcliError, UsageError
from clipcli.files.manifest import Manifest, manifest_path, read_manifest, write_manifest
from clipcli.outputs.merged import allow_open_files, check_parts, placed_rows, read_part
from clipcli.outputs.open import Output
from clipcli.outputs.shards import Shard, number_of, sharding_of
from clipcli.records import ModelRecord, Provenance, Row
from clipcli.scoring.schema import Schema

SHARDS, IMAGES = 1000, 4000
MODEL = ModelRecord("m", "f" * 64, "p", "fp32", "cpu")


def row_of(n: int) -> Row:
    """A made-up row; every fiftieth image cannot be read."""
    return (
        Row(f"p/{n}.jpg", (), (), "not an image") if n % 50 == 7 else Row(f"p/{n}.jpg", ("cat",), (n / IMAGES,), None)
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The outputs of all shards, some of which have no row."""
    folder = tmp_path_factory.mktemp("parts")
    places: dict[int, list[int]] = {n: [] for n in range(SHARDS)}
    for place in range(IMAGES):
        places[number_of(row_of(place).path, SHARDS)].append(place)
    return [written(folder / f"{n:03}.csv", Shard(n, SHARDS), places[n]) for n in range(SHARDS)]


def written(path: Path, shard: Shard, places: Sequence[int]) -> Path:
    """Write the output of a shard as `classify` does."""
    provenance = Provenance(
        command="classify",
        settings={"shard": str(shard), "top_k": 1},
        model="m",
        classes=({"label": "cat", "aliases": (), "descriptions": ()},),
        prompts="p",
        templates=("a {}.",),
        classifier=None,
        inputs=("p",),
        images=len(places),
        images_digest="d",
        kept=(),
        shard=sharding_of(shard, places, images=IMAGES, digest="all"),
    )
    manifest = Manifest(provenance=provenance, model=MODEL if places else None, format="csv", begun="2026-01-01")
    with Output(str(path), format="csv", schema=Schema(), manifest=manifest) as output:
        output.write([row_of(place) for place in places])
    return path


def merge(paths: Sequence[Path]) -> list[Row]:
    """The rows of the parts, checked."""
    found = [read_part(str(path)) for path in paths]
    check_parts(found)
    return [row for _, row in placed_rows(found)]


def test_all_shards_in_any_order(parts: list[Path]) -> None:
    shuffled = random.Random(0).sample(parts, len(parts))
    assert sum(path.read_text().count("\n") == 1 for path in parts) > 5
    assert merge(shuffled) == [row_of(n) for n in range(IMAGES)]


def lose(path: Path) -> str:
    """The machine is gone with its file."""
    path.unlink()
    return "no such part"


def stop(path: Path) -> str:
    """The run was stopped."""
    manifest = read_manifest(path)
    assert manifest is not None
    write_manifest(path, replace(manifest, state="interrupted", rows=0))
    return "--resume"


def tear(path: Path) -> str:
    """The copy was cut off."""
    path.write_bytes(path.read_bytes()[:-3])
    return "was changed since it was written"


def lose_manifest(path: Path) -> str:
    """Only the rows were copied."""
    manifest_path(path).unlink()
    return "has no manifest"


def change_model(path: Path) -> str:
    """The machine had other weights."""
    manifest = read_manifest(path)
    assert manifest is not None
    write_manifest(path, replace(manifest, model=replace(MODEL, fingerprint="0" * 64)))
    return "the weights of m were others"


def test_shards_that_failed_in_every_way(parts: list[Path]) -> None:
    """15 of the 1,000 fail, three in each way. Each is named; once it is labelled anew, the merge is whole."""
    with_rows = [path for path in parts if path.read_text().count("\n") > 1]
    kept = {path: (path.read_bytes(), manifest_path(path).read_bytes()) for path in with_rows}
    # Models are compared with that of the first part.
    failed = random.Random(0).sample(with_rows[1:], 15)
    ways = (lose, stop, tear, lose_manifest, change_model)
    expected = {path: ways[n % len(ways)](path) for n, path in enumerate(failed)}
    while expected:
        with pytest.raises(ClipcliError) as raised:
            merge(parts)
        named = next(path for path in expected if str(path) in str(raised.value))
        assert expected.pop(named) in str(raised.value)
        for file, content in zip((named, manifest_path(named)), kept[named], strict=True):
            file.write_bytes(content)
    assert merge(parts) == [row_of(n) for n in range(IMAGES)]


def test_places_of_other_rows(parts: list[Path]) -> None:
    """The manifest of one is damaged, so that two parts would have a row in one place."""
    manifest, part = read_manifest(parts[0]), read_part(str(parts[0]))
    assert manifest is not None
    sharding = sharding_of(part.shard, [place + 1 for place in part.places], images=IMAGES, digest="all")
    other = replace(part, sharding=sharding, places=[place + 1 for place in part.places])
    with pytest.raises(ClipcliError, match=r"has rows of other shards, by its manifest; label shard .* anew"):
        check_parts([other, *map(read_part, map(str, parts[1:]))])


@pytest.mark.parametrize(
    "damage", [{"places": 3}, {"places": None}, {"places": "?"}, {"number": "0"}, {"count": 0}, {"images": None}]
)
def test_a_manifest_that_is_damaged(tmp_path: Path, damage: dict[str, object]) -> None:
    """Also one without what it needs to say of the shard."""
    path = written(tmp_path / "0.csv", Shard(0, 2), [0, 2])
    content = json.loads(manifest_path(path).read_text())
    shard = content["provenance"]["shard"]
    for broken in ({**shard, **damage}, {name: shard[name] for name in shard if name not in damage}):
        content["provenance"]["shard"] = broken
        manifest_path(path).write_text(json.dumps(content))
        with pytest.raises(BadFile, match=r"0\.csv\.json is damaged .*; label this shard anew"):
            read_part(str(path))


def test_a_system_that_opens_fewer_files_than_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(UsageError, match=r"^1,000 parts are read at once, and the system lets a process open fewer"):
        allow_open_files(1000)


def test_shards_that_are_missing_are_counted(parts: list[Path]) -> None:
    with pytest.raises(ClipcliError, match=r"^2 shards are missing: '5/1000', '999/1000'; .* with --shard 5/1000$"):
        merge([path for path in parts if path.stem not in ("005", "999")])
