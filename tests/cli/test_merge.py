"""`classify --shard` and `clipcli merge`: the parts of a run give the file that one process writes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from torch import Tensor

import clipcli
from clipcli.backbones.backbone import Backbone
from clipcli.commands.merge import run as merging_run
from clipcli.errors import BadFile
from clipcli.events import Counted, Event, RowsReady
from clipcli.files.locks import only_writer
from clipcli.files.manifest import manifest_path, read_manifest, write_manifest
from clipcli.outputs.noticed import Noticed, for_manifest, of_all, of_manifest
from clipcli.outputs.shards import number_of

from .conftest import Run

LABELS = "cat, dog, car"


@pytest.fixture
def images(photos: Path, tmp_path: Path) -> Path:
    """A list of 23 images, some of which are broken, missing, there twice, or have odd names."""
    (photos / "broken.jpg").write_bytes((photos / "a.jpg").read_bytes()[:300])
    shutil.copy(photos / "b.png", photos / 'a "quoted",\rname.png')
    shutil.copy(photos / "b.png", os.fsdecode(os.fsencode(photos) + b"/not-utf-8-\xff.png"))
    found = sorted(path.relative_to(tmp_path) for path in photos.rglob("*") if path.is_file())
    names = [*found, Path("missing.jpg")] * 3
    path = tmp_path / "list.txt"
    path.write_bytes(b"\n".join(os.fsencode(name) for name in names[:23]))
    return path


@pytest.fixture
def given(images: Path, models: dict[str, Path]) -> tuple[Any, ...]:
    """What is given to each process: in float32 the size of a batch changes the last digits of a score."""
    how = ("--precision", "fp32", "--engine", "torch", "--batch-size", 4, "--no-cache", "--quiet")
    return ("classify", f"@{images}", "--labels", LABELS, "--model", models["vit"], "--top-k", 2, *how)


@pytest.mark.parametrize(("suffix", "count"), [("csv", 3), ("jsonl", 2), ("parquet", 12)])
def test_parts_give_the_output_of_one_process(run: Run, given: tuple[Any, ...], suffix: str, count: int) -> None:
    """With 12 shards some have no image."""
    assert run(*given, "-o", f"one.{suffix}").code == 3
    for n in range(count):
        assert run(*given, "-o", f"part-{{shard}}.{suffix}", "--shard", f"{n}/{count}").code in (0, 3)
    done = run("merge", f"part-*-of-{count}.{suffix}", "-o", f"all.{suffix}")
    assert done.code == 3
    assert f"all.{suffix}: 23 rows of {count} shards in" in done.err
    if suffix == "parquet":
        assert pq.read_table("all.parquet").equals(pq.read_table("one.parquet"))
    else:
        assert Path(f"all.{suffix}").read_bytes() == Path(f"one.{suffix}").read_bytes()
    one, merged = (json.loads(Path(f"{name}.{suffix}.json").read_text()) for name in ("one", "all"))
    assert {name for name in one if one[name] != merged[name]} <= {"begun", "finished", "sha256"}


def test_images_are_encoded_as_many_at_once_as_in_one_process(
    run: Run, given: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last digits of an embedding depend on that, for many models in float32."""
    sizes: list[int] = []
    encode = Backbone.encode_images

    def recorded(self: Backbone, pixels: Tensor) -> Tensor:
        sizes.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(Backbone, "encode_images", recorded)
    run(*given, "-o", "one.csv")
    # Also those with images that cannot be read.
    assert sizes == [4, 4, 4, 4, 4, 3]
    sizes.clear()
    for n in range(3):
        run(*given, "-o", f"{n}.csv", "--shard", f"{n}/3")
    assert set(sizes) == {4, 3}
    # The last three images of all are in so many shards.
    assert sizes.count(3) == len(
        {number_of(name, 3) for name in ('photos/a "quoted",\rname.png', "photos/a.jpg", "photos/b.png")}
    )


def test_the_counts_are_those_of_all_parts(run: Run, given: tuple[Any, ...]) -> None:
    parts = [f"{n}.csv" for n in range(2)]
    for n, part in enumerate(parts):
        run(*given, "-o", part, "--shard", f"{n}/2")
    said = run("merge", *parts, "-o", "all.csv").err
    rows = [line for line in Path("all.csv").read_text(errors="surrogateescape").split("\n")[1:] if line]
    skipped = sum(",,,,," in line for line in rows)
    assert skipped == 4
    assert f" skipped       {skipped}" in said
    assert "   2 such as " in said


def test_what_was_noticed_is_said_of_all_parts_together(run: Run, given: tuple[Any, ...], photos: Path) -> None:
    """What all shards read is said as each of them says it, and what each read of its own is summed."""
    (photos / "notes.pdf").write_text("x")
    (photos / ".hidden.jpg").write_text("x")
    for n in range(6):
        Image.new("RGB", (20, 24)).save(photos / f"thumbnail {n}.tif", "TIFF", tiffinfo={254: 1})
    command = [given[0], photos, *given[2:-1]]
    alone = " ".join(run(*command, "-o", "one.csv").err.split())
    for n in range(3):
        run(*command, "-o", f"part-{n}.csv", "--shard", f"{n}/3")
    said = " ".join(run("merge", "part-0.csv", "part-1.csv", "part-2.csv", "-o", "all.csv").err.split())
    for notice in ("6 images are only the thumbnails in their files, such as ", "1 hidden image", "1 file is no image"):
        assert notice in alone
        assert said.count(notice) == 1
    manifest, *others = (json.loads(Path(f"part-{n}.csv.json").read_text()) for n in range(3))
    # How many are of which shard depends on the folder of the test.
    noticed = [one for each in (manifest, *others) for one in each["noticed"]["images"]]
    assert sum(number for one in noticed for _, number in one["kinds"]) == 6
    del manifest["noticed"]["images"]
    Path("part-0.csv.json").write_text(json.dumps(manifest))
    assert "part-0.csv.json is damaged" in run("merge", "part-?.csv", "-o", "b.csv").err
    resumed = run(*command, "-o", "part-0.csv", "--shard", "0/3", "--resume")
    assert (resumed.code, "part-0.csv.json is damaged ('images'); label this shard anew" in resumed.err) == (2, True)


def test_what_was_noticed_is_read_as_it_was_written() -> None:
    said = Counted("image", "images", "left out", True, (("", 2),), "a.jpg")
    noticed = Noticed(("a.pdf",), (said,), (said,))
    assert of_manifest(for_manifest(noticed), Path("a.csv")) == noticed
    # A part that kept nothing says nothing for the others.
    assert of_all([Noticed(), noticed]) == noticed
    for name, value in {"one": 1, "warns": "no", "kinds": "ab", "example": None}.items():
        damaged = {**for_manifest(noticed), "images": [{**asdict(said), name: value}]}
        with pytest.raises(BadFile, match=r"a\.csv\.json is damaged"):
            of_manifest(damaged, Path("a.csv"))


def test_a_part_that_was_stopped_goes_on(run: Run, given: tuple[Any, ...]) -> None:
    run(*given, "-o", "one.csv")
    for n in range(2):
        run(*given, "-o", f"{n}.csv", "--shard", f"{n}/2")
    part, whole = Path("0.csv"), Path("0.csv").read_bytes()
    lines = whole.split(b"\n")
    manifest = read_manifest(part)
    assert manifest is not None
    part.write_bytes(b"\n".join(lines[:5]) + b"\n")
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    write_manifest(part, replace(manifest, state="interrupted", rows=3, sha256=digest))
    done = run("merge", "0.csv", "1.csv", "-o", "all.csv")
    assert done.code == 2
    assert "0.csv has 3 of the 10 rows of shard 0/2; run its command again with --resume" in done.err
    other = run(*given, "-o", "0.csv", "--shard", "1/2", "--resume")
    assert "--shard was 0/2 and is 1/2" in other.err
    assert run(*given, "-o", "0.csv", "--shard", "0/2", "--resume").code == 3
    assert part.read_bytes() == whole
    assert run("merge", "0.csv", "1.csv", "-o", "all.csv", "-q").code == 3
    assert Path("all.csv").read_bytes() == Path("one.csv").read_bytes()


def test_the_output_goes_on_as_that_of_one_process(run: Run, given: tuple[Any, ...]) -> None:
    """Its manifest is that of the whole run: `--resume` finds it complete."""
    for n in range(2):
        run(*given, "-o", f"{n}.csv", "--shard", f"{n}/2")
    run("merge", "0.csv", "1.csv", "-o", "all.csv")
    before = Path("all.csv").read_bytes()
    done = run(*given[:-1], "-o", "all.csv", "--resume")
    assert "complete, an earlier run had labelled all 23 images" in done.err
    assert Path("all.csv").read_bytes() == before


def test_a_shard_from_the_environment_is_said(
    run: Run, given: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = run(*given[:-1], "--shard", "auto")
    assert "Labelling shard 1/2 by RANK and WORLD_SIZE, into predictions-1-of-2.csv." in done.err
    assert "clipcli merge 'predictions-*-of-2.csv' -o OUTPUT" in done.err
    done = run(*given, "--shard", "auto", "-o", "rows.csv")
    assert done.err == (
        "clipcli: all processes would write rows.csv; name their shards in it, as in --output rows-{shard}.csv\n"
    )
    # Nothing is taken from the environment unless it is asked for.
    assert run(*given).code == 3
    assert len(Path("predictions.csv").read_bytes().split(b"\n")) == 25


REFUSED = [
    (("--shard", "0/2", "--frames", "3"), "--frames gives files several images, and --shard counts files; give one"),
    (("--shard", "0/2", "--refine"), "--refine learns from all images of a run, and --shard labels some; refine"),
    (("--shard", "0/2", "--update"), "--update is of whole outputs, and --shard of parts; merge the parts"),
    (("--shard", "0/2", "-o", "-"), "a shard needs its manifest to be merged, and --output - leaves none"),
    (("--shard", "0/2", "--no-manifest"), "a shard needs its manifest to be merged, and --no-manifest leaves none"),
    (("-o", "a-{shard}.csv"), "{shard} in --output stands for the shard, and there is none; give --shard I/N"),
    (("--shard", "2/2"), "--shard 2/2 is no shard; give I/N with I from 0 to N-1"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED)
def test_what_does_not_go_with_a_shard(run: Run, given: tuple[Any, ...], flags: tuple[str, ...], message: str) -> None:
    done = run(*given, *flags)
    assert done.code == 2
    assert done.err.startswith(f"clipcli: {message}")


def test_a_program_labels_a_shard(photos: Path, model: str) -> None:
    given = {"labels": LABELS, "model": model}
    one = {row.path: row for row in clipcli.classify(str(photos), **given)}
    parts = [list(clipcli.classify(str(photos), shard=f"{n}/3", **given)) for n in range(3)]
    assert sorted(row.path for part in parts for row in part) == sorted(one)
    assert all(one[row.path].labels == row.labels for part in parts for row in part)


def test_parts_that_do_not_fit(run: Run, given: tuple[Any, ...]) -> None:
    for n in range(2):
        run(*given, "-o", f"{n}.csv", "--shard", f"{n}/2")
    run(*given, "-o", "whole.csv")
    run(*given, "-o", "of-three.csv", "--shard", "1/3")
    run(*given, "-o", "others.csv", "--shard", "1/2", "--top-k", 1)
    run(*given, "-o", "batches.csv", "--shard", "1/2", "--batch-size", 5)
    run(*given, "-o", "fewer.csv", "--shard", "1/2", "--max-images", 20)
    messages = {
        ("0.csv", "none.csv"): "no such part: none.csv; check the path",
        ("0.csv",): "1 shard is missing: '1/2'; give those parts too, or label them with --shard 1/2",
        ("0.csv", "0.csv", "1.csv"): "shard 0/2 is there twice, in 0.csv and 0.csv; leave one out",
        ("0.csv", "whole.csv"): "whole.csv is no part: it was labelled without --shard; leave it out",
        ("0.csv", "of-three.csv"): "0.csv and of-three.csv are of different runs: one is of 2 shards, the other of 3;",
        (
            "0.csv",
            "others.csv",
        ): "0.csv and others.csv are of different runs: --top-k was 2 and is 1; label one of them",
        ("0.csv", "batches.csv"): "0.csv and batches.csv are of different runs: --batch-size was 4 and is 5; label one",
        ("0.csv", "fewer.csv"): "0.csv and fewer.csv are of different runs: the inputs were others, with 23 and 20",
    }
    for parts, message in messages.items():
        done = run("merge", *parts, "-o", "all.csv")
        assert done.code == 2
        assert done.err.startswith(f"clipcli: {message}"), done.err
    manifest = read_manifest(Path("1.csv"))
    assert manifest is not None
    assert manifest.model is not None
    other = replace(manifest, model=replace(manifest.model, fingerprint="ff" * 32))
    write_manifest(Path("1.csv"), other)
    assert "the weights of " in run("merge", "0.csv", "1.csv", "-o", "all.csv").err
    write_manifest(Path("1.csv"), manifest)
    assert run("merge", "?.csv*", "-o", "all.csv", "-q").code == 3
    assert "all.csv exists; give another --output, or --overwrite" in run("merge", "?.csv", "-o", "all.csv").err
    assert "is read by this command" in run("merge", "?.csv", "-o", "1.csv", "--overwrite").err
    with Path("1.csv").open("a") as file:
        file.write("more,cat,1,dog,0,\n")
    assert "1.csv was changed since it was written; label shard 1/2 anew" in run("merge", "?.csv", "-o", "b.csv").err
    manifest_path(Path("1.csv")).unlink()
    assert "1.csv has no manifest (1.csv.json); copy it" in run("merge", "?.csv", "-o", "b.csv").err
    assert not Path("b.csv").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BadFile("1.csv is damaged")])
def test_a_merge_that_is_stopped_leaves_the_output_as_it_was(
    run: Run, given: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    for n in range(2):
        run(*given, "-o", f"{n}.csv", "--shard", f"{n}/2")
    Path("all.csv").write_text("what was there\n")

    def some_rows(merging: merging_run.Merging) -> Iterator[Event]:
        for event in merge_rows(merging):
            yield replace(event, rows=event.rows[:5]) if isinstance(event, RowsReady) else event
        raise error

    merge_rows = merging_run.run
    monkeypatch.setattr(merging_run, "run", some_rows)
    assert run("merge", "0.csv", "1.csv", "-o", "all.csv", "--overwrite").code in (2, 130)
    assert Path("all.csv").read_text() == "what was there\n"
    assert not list(Path().glob(".all.csv*"))


def test_corrections_made_by_hand_are_kept(run: Run, given: tuple[Any, ...]) -> None:
    for n in range(2):
        run(*given, "-o", f"{n}.csv", "--shard", f"{n}/2")
    merge = ("merge", "0.csv", "1.csv", "-o", "all.csv")
    run(*merge)
    assert "kept as" not in run(*merge, "--overwrite").err
    with Path("all.csv").open("a") as file:
        file.write("mine.jpg,cat,1,dog,0,\n")
    said = "all.csv was changed since it was written, as by hand; it is kept as all.csv.bak"
    assert said in " ".join(run(*merge, "--overwrite").err.split())
    assert Path("all.csv.bak").read_text(errors="surrogateescape").endswith("mine.jpg,cat,1,dog,0,\n")
    with only_writer("all.csv"):
        done = run(*merge, "--overwrite")
    assert done.code == 2
    assert "is writing " in done.err
    assert not Path("all.csv.bak1").exists()
