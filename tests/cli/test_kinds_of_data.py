"""Every command reads every kind of data, from the command line on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_data import noisy_pairs, photograph, sharded

from .conftest import Run


@pytest.fixture
def members(photos: Path) -> dict[str, bytes]:
    """Images of a shard with a text each, one of them bad."""
    found: dict[str, bytes] = {}
    for path in sorted(photos.glob("*.*")):
        found |= {f"in/{path.name}": path.read_bytes(), f"in/{path.stem}.txt": b"a text"}
    return found | {"in/bad.jpg": b"no image"}


def test_classify_labels_shards(run: Run, photos: Path, members: dict[str, bytes], labels: Path, model: str) -> None:
    names = sorted(members)
    sharded(Path("s-0.tar"), {name: members[name] for name in names[:6]})
    sharded(Path("s-1.tar"), {name: members[name] for name in names[6:]})
    for output in ("first.csv", "second.csv"):
        done = run("classify", "s-{0..1}.tar", "--labels", labels, "--model", model, "--output", output)
        assert done.code == 3
    assert Path("first.csv").read_bytes() == Path("second.csv").read_bytes()
    table = pd.read_csv("first.csv")
    images = [name for name in names if not name.endswith(".txt")]
    assert list(table.path) == [f"s-{int(names.index(name) >= 6)}.tar/{name}" for name in images]
    assert list(table.path[table.error.notna()].str.split("/").str[-1]) == ["bad.jpg"]
    assert list(table.error.dropna()) == ["not an image"]
    assert run("classify", photos, "--labels", labels, "--model", model, "--output", "plain.csv").code == 0
    plain = pd.read_csv("plain.csv")
    plain.index = plain.path.str.split("/").str[-1]
    for row in table[table.error.isna()].itertuples():
        other = plain.loc[Path(str(row.path)).name]
        assert row.label == other.label
        assert row.score == pytest.approx(other.score, abs=1e-4)


def test_classify_labels_tables_and_what_it_wrote(run: Run, photos: Path, labels: Path, model: str) -> None:
    (photos / "list.csv").write_text("shot,photo\n1,a.jpg\n2,gone.jpg\n3,\n4,more/f.jpg\n5,a.jpg\n")
    options = ("--labels", labels, "--model", model)
    assert run("classify", "photos/list.csv", "--image-column", "photo", *options, "-o", "first.csv").code == 3
    first = pd.read_csv("first.csv")
    assert list(first.path) == [
        *("photos/a.jpg", "photos/gone.jpg", "photos/list.csv line 4"),
        *("photos/more/f.jpg", "photos/a.jpg"),
    ]
    assert list(first.error.fillna("")) == ["", "no such file", "no image path", "", ""]
    Path("out").mkdir()
    Path("first.csv").rename("out/first.csv")
    assert run("classify", "out/first.csv", *options, "-o", "again.csv").code == 3
    again = pd.read_csv("again.csv")
    assert list(again.label.fillna("")) == list(first.label.fillna(""))
    assert again.path[0] == "photos/a.jpg"
    assert run("classify", "photos/list.csv", *options, "-o", "x.csv").code == 2


def test_classify_labels_images_in_the_cells_of_a_table(run: Run, photos: Path, labels: Path, model: str) -> None:
    cells = [{"bytes": path.read_bytes(), "path": None} for path in sorted(photos.glob("*.*"))]
    pq.write_table(pa.table({"image": [*cells, None], "n": range(len(cells) + 1)}), "t.parquet", row_group_size=2)
    for output in ("first.jsonl", "second.jsonl"):
        assert run("classify", "t.parquet", "--labels", labels, "--model", model, "--output", output).code == 3
    assert Path("first.jsonl").read_bytes() == Path("second.jsonl").read_bytes()
    table = pd.read_json("first.jsonl", lines=True)
    assert list(table.path) == [f"t.parquet row {n}" for n in range(1, len(cells) + 2)]
    assert list(table.error.dropna()) == ["cannot be decoded: no image in the cell"]


@pytest.mark.parametrize("text", ["@list.txt", "photos/*/*.png", "photos/*"])
def test_evaluate_and_train_on_a_list_and_a_glob(run: Run, model: str, text: str) -> None:
    photograph(Path("photos"), seed=0)
    Path("list.txt").write_text("".join(f"{path}\n" for path in sorted(Path("photos").rglob("*.png"))))
    options = ("--model", model, "--device", "cpu", "--precision", "fp32", "--prompts", "name")
    assert run("evaluate", "photos", *options, "--output", "by-folder").code == 0
    assert run("evaluate", text, *options, "--output", "listed").code == 0
    assert Path("listed/predictions.csv").read_bytes() == Path("by-folder/predictions.csv").read_bytes()
    done = run("train", text, *options, "--steps", "2", "--batch-size", "8", "--output", "run")
    assert (done.code, Path("run/open_clip_config.json").exists()) == (0, True)


def test_retrieval_on_a_glob(run: Run, model: str) -> None:
    noisy_pairs(Path("pairs"), 6)
    options = ("--model", model, "--device", "cpu", "--precision", "fp32")
    for data, folder in (("pairs", "by-folder"), ("pairs/*", "globbed")):
        assert run("evaluate", data, *options, "--output", folder).code == 0
    assert Path("globbed/predictions.csv").read_bytes() == Path("by-folder/predictions.csv").read_bytes()


@pytest.mark.parametrize("text", ["predictions.csv", "@predictions.csv", "./predictions.csv"])
@pytest.mark.parametrize("flag", ["--overwrite", "--resume"])
def test_an_input_is_not_written_over(run: Run, photos: Path, labels: Path, model: str, text: str, flag: str) -> None:
    Path("predictions.csv").write_text(f"path,label,score,error\n{photos}/a.jpg,cat,0.5,\n")
    done = run("classify", text, "--labels", labels, "--model", model, flag)
    assert done.code == 2
    assert "--output predictions.csv is read by this command, and would be written over; give another" in done.err
    assert Path("predictions.csv").read_text().endswith("cat,0.5,\n")
