"""`clipcli embed`, and `clipcli classify --embeddings`: the same rows to the byte, without an image."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import clipcli
from clipcli.cli import exit_codes
from clipcli.commands.classify import stored
from clipcli.encoding import embed as encoding
from clipcli.errors import ClipcliWarning, UsageError
from clipcli.outputs.embeddings import Embeddings
from clipcli.outputs.read import read_rows
from clipcli.records import Embedded, ImageItem, ModelRecord

from .conftest import Run

_EMBED = stored.Stored.embed


def test_a_row_for_each_image_in_input_order(run: Run, photos: Path, model: str) -> None:
    (photos / "bad.jpg").write_bytes(b"nonsense")
    done = run("embed", photos / "more", photos, "--model", model)
    assert (done.code, done.out) == (exit_codes.SOME_SKIPPED, "")
    assert f"1 image has no row: {photos}/bad.jpg: not an image\n" in done.err
    assert done.err.endswith("embeddings.parquet: the embeddings of 7 images, 16 numbers each, of length 1.\n")
    found = clipcli.Embeddings.load("embeddings.parquet")
    names = ["more/f.jpg", "a.jpg", "b.png", "c.webp", "d.jpg", "e.bmp", "more/f.jpg"]
    assert found.ids == tuple(str(photos / name) for name in names)
    assert [(one.place, one.id) for one in found.skipped] == [(3, str(photos / "bad.jpg"))]
    expected = clipcli.load(model).embed_images([photos / name for name in names])
    np.testing.assert_array_equal(found.embeddings, expected)
    with pytest.warns(ClipcliWarning, match="1 of 8 images cannot be read, such as .*bad.jpg"):
        again = clipcli.embed([photos / "more", photos], model=model)
    np.testing.assert_array_equal(again.embeddings, expected)
    assert (again.ids, again.model, again.skipped) == (found.ids, found.model, found.skipped)


def test_names_that_are_not_utf8_are_told_once_and_lead_to_their_photos(run: Run, photos: Path, model: str) -> None:
    name = os.fsencode(photos) + b"/caf\xe9.jpg"
    os.rename(photos / "a.jpg", name)
    done = run("embed", photos, "--model", model)
    assert done.err.count("name is not UTF-8") == 1
    assert r"caf\udce9.jpg: such a byte is written as \udcXX in Parquet and JSON" in " ".join(done.err.split())
    assert os.fsdecode(name) in Embeddings.load("embeddings.parquet").ids
    for output in ("rows.parquet", "rows.csv", "rows.jsonl"):
        run("classify", "--embeddings", "embeddings.parquet", "--labels", "cat, dog", "-o", output)
        assert os.fsdecode(name) in [row.path for row in read_rows(output)[1]]
        assert "6 files" in run("sort", output, "--into", "sorted").out + run("sort", output, "--into", "sorted").err


def test_images_that_cannot_be_read_make_no_file(run: Run, photos: Path, model: str) -> None:
    """Also where the model is known from before, so that it is not loaded."""
    run("embed", photos, "--model", model, "-o", "good.npy")
    Path("bad").mkdir()
    Path("bad/a.jpg").write_bytes(b"nonsense")
    done = run("embed", "bad", "--model", model, "-o", "bad.npy")
    assert done.code == exit_codes.FAILED
    assert "none of 1 images can be read, such as bad/a.jpg: not an image" in done.err
    assert not list(Path().glob("bad.npy*"))


def test_a_row_for_each_text(run: Run, model: str) -> None:
    Path("t.txt").write_text("a dog\n\na cat\na dog\n")
    done = run("embed", "--texts", "t.txt", "-o", "t.npy", "--model", model)
    assert (done.code, done.out) == (exit_codes.DONE, "")
    found = clipcli.Embeddings.load("t.npy")
    assert (found.of, found.ids) == ("texts", ("a dog", "a cat", "a dog"))
    np.testing.assert_array_equal(found.embeddings, clipcli.load(model).embed_texts(["a dog", "a cat", "a dog"]))


@pytest.mark.parametrize("more", [(), ("--top-k", 2, "--max-images", 4, "--refine")])
def test_rows_are_the_same_to_the_byte(
    run: Run, photos: Path, labels: Path, model: str, monkeypatch: pytest.MonkeyPatch, more: tuple[object, ...]
) -> None:
    (photos / "bad.jpg").write_bytes(b"nonsense")
    shutil.copy(photos / "a.jpg", photos / "z.jpg")
    how = ("--labels", labels, *more)
    run("classify", photos, "--model", model, *how, "-o", "images.csv")
    run("embed", photos, "-o", "e.safetensors", "--model", model)
    monkeypatch.setattr(encoding, "_encoded", lambda *_, **__: pytest.fail("an image was decoded"))
    shutil.rmtree(photos)
    done = run("classify", "--embeddings", "e.safetensors", *how, "-o", "file.csv")
    assert done.code == exit_codes.SOME_SKIPPED
    assert Path("file.csv").read_bytes() == Path("images.csv").read_bytes()
    rows = list(_rows(model, labels)) if not more else []
    assert [row.path for row in rows] == ([line.split(",")[0] for line in _lines("file.csv")[1:]] if rows else [])


def _rows(model: str, labels: Path) -> list[clipcli.Row]:
    return list(clipcli.load(model).classify(embeddings="e.safetensors", labels=labels))


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _stopped(self: stored.Stored, items: Sequence[ImageItem]) -> Iterator[Embedded]:
    yield from islice(_EMBED(self, items), 2)
    raise KeyboardInterrupt


def test_a_run_goes_on_with_embeddings(
    run: Run, photos: Path, labels: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("embed", photos, "-o", "e.npy", "--model", model)
    given = ("classify", "--embeddings", "e.npy", "--labels", labels, "-o", "a.csv")
    run(*given)
    whole = Path("a.csv").read_bytes()
    monkeypatch.setattr(stored, "_PART", 2)
    with monkeypatch.context() as patch:
        patch.setattr(stored.Stored, "embed", _stopped)
        assert run(*given, "--overwrite").code == exit_codes.INTERRUPTED
    assert len(Path("a.csv").read_bytes()) < len(whole)
    assert run(*given, "--resume").code == exit_codes.DONE
    assert Path("a.csv").read_bytes() == whole
    assert json.loads(Path("a.csv.json").read_text())["provenance"]["inputs"] == ["e.npy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("classify", "--labels", "a,b"), "missing argument 'INPUT'; see clipcli classify --help"),
        (("classify", "p", "--embeddings", "e.npy", "--labels", "a,b"), "both images and --embeddings were given"),
        (("classify", "--embeddings", "no.npy", "--labels", "a,b"), "no file of embeddings no.npy; make one with"),
        (
            ("classify", "--embeddings", "t.npy", "--labels", "a,b"),
            "t.npy holds embeddings of texts; give those of images",
        ),
        (
            ("classify", "--embeddings", "t.npy", "--labels", "a,b", "--keep-columns", "x"),
            "--keep-columns takes columns of tables, which --embeddings FILE has not; drop one of them",
        ),
        (("embed",), "missing argument 'INPUT'; see clipcli embed --help"),
        (("embed", "p", "--texts", "t.txt"), "both images and --texts were given; embed them one after the other"),
        (("embed", "--texts", "no.txt"), "cannot read no.txt: No such file or directory; check the path after --texts"),
        (("embed", "--texts", "empty.txt"), "empty.txt: no texts in it; write one a line"),
        (("embed", "p", "-o", "e.hdf5"), "the format of e.hdf5 is not clear from its name; give --format parquet or"),
        (("embed", "p", "-o", "-"), "embeddings cannot go to standard output; give --output FILE"),
        (("embed", "--texts", "t.txt", "-o", "t.npy"), "t.npy exists; give another --output, or --overwrite"),
        (("embed", "--texts", "t.txt", "-o", ".", "--format", "clip-retrieval"), ". exists; give a folder that is new"),
    ],
)
def test_mistakes_are_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    Path("t.txt").write_text("a dog\n")
    Path("empty.txt").write_text("\n")
    record = ModelRecord("tiny", "0", "", "fp32", None)
    Embeddings(("a dog",), np.ones((1, 4), np.float32), "texts", record).save("t.npy")
    done = run(*arguments)
    assert (done.code, done.out) == (exit_codes.WRONG_USAGE, "")
    assert done.err.startswith(f"clipcli: {message}")
    assert done.err.count("\n") == 1


def test_another_model_is_refused(run: Run, photos: Path, model: str, models: dict[str, Path]) -> None:
    run("embed", photos, "-o", "e.parquet", "--model", model)
    given = ("classify", "--embeddings", "e.parquet", "--labels", "cat, dog")
    done = run(*given, "--model", models["resnet"])
    assert done.code == exit_codes.FAILED
    assert "the embeddings were made with " in done.err
    assert "and not with these weights of " in done.err
    assert run(*given).code == exit_codes.DONE


def test_images_and_their_embeddings_are_refused_together(photos: Path) -> None:
    with pytest.raises(UsageError, match="both images and embeddings were given"):
        clipcli.classify(photos, embeddings="e.npy", labels=["a", "b"])
