"""`clipcli classify --update`: the rows of a fresh run, and what a person said of images stays."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clipcli.commands.classify.merge import Merge
from clipcli.encoding.encoders import Encoders
from clipcli.files.atomic import parts_of
from clipcli.files.manifest import manifest_path, read_manifest
from clipcli.outputs import WRITERS, read
from clipcli.outputs.open import Output
from clipcli.records import Row
from clipcli.scoring import build

from .conftest import Done, Run

Rows = dict[str, list[str]]
Update = Callable[..., Done]


@pytest.fixture
def update(run: Run, photos: Path, labels: Path, model: str) -> Update:
    """Bring an output of the photos up to date; they are in the working folder."""
    assert photos.parent == Path.cwd()

    def command(*more: object, output: str = "predictions.csv", code: int = 0) -> Done:
        flags = ["--model", model, "--output", output, *more]
        if "--labels" not in more:
            flags += ["--labels", labels]
        done = run("classify", "photos", *flags)
        assert done.code == code, done.err
        return done

    return command


@pytest.fixture
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "vocabulary", lambda: tuple(f"thing {n}" for n in range(60)))


def rows_of(path: str = "predictions.csv") -> Rows:
    """The cells of each row behind its path."""
    with open(path, newline="", encoding="utf-8") as file:
        return {row[0]: row[1:] for row in csv.reader(file)}


def edit(path: str, label: str, *, output: str = "predictions.csv") -> None:
    """Change the label of a row by hand."""
    with open(output, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    place = rows[0].index("label")
    for row in rows:
        if row[0] == path:
            row[place] = label
    with open(output, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def picture(path: str, seed: int = 9) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (50, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def did(done: Done) -> str:
    """What an update says that it did."""
    [line] = [line for line in done.err.splitlines() if " kept, " in line]
    return line.partition(": ")[2].partition(", in ")[0]


def counts(**given: int) -> str:
    names = ("kept", "new", "moved", "changed", "dropped", "corrected", "relabelled")
    return ", ".join(f"{given.get(name, 0)} {name}" for name in names)


def without_source(output: str) -> list[list[str]]:
    with open(output, newline="", encoding="utf-8") as file:
        return [row[:1] + row[2:] for row in csv.reader(file)]


def plain_rows(output: str) -> list[list[str]]:
    with open(output, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def other_label(path: str, *, output: str = "predictions.csv", among: tuple[str, ...] = ("cat", "dog")) -> str:
    """A label that the row does not have."""
    with open(output, newline="", encoding="utf-8") as file:
        label = next(row["label"] for row in csv.DictReader(file) if row["path"] == path)
    return next(one for one in among if one != label)


@pytest.mark.parametrize("format", WRITERS)
def test_new_photos_get_rows_where_they_sort_and_those_gone_lose_theirs(update: Update, format: str) -> None:
    output = f"out.{format}"
    update(output=output)
    picture("photos/aa.png")
    Path("photos/d.jpg").unlink()
    done = update("--update", output=output)
    assert did(done) == counts(kept=5, new=1, dropped=1)
    update(output=f"fresh.{format}")
    _, rows = read.read_rows(output)
    schema, fresh = read.read_rows(f"fresh.{format}")
    rows = list(rows)
    assert [row.path for row in rows] == [
        f"photos/{name}" for name in ("a.jpg", "aa.png", "b.png", "c.webp", "e.bmp", "more/f.jpg")
    ]
    assert {row.source for row in rows} == {"model"}
    assert [schema.fields(row) for row in rows] == [schema.fields(row) for row in fresh]
    assert read_manifest(Path(output)).state == "complete"


@pytest.mark.parametrize("format", WRITERS)
def test_a_second_update_changes_no_byte(update: Update, format: str) -> None:
    output = f"out.{format}"
    assert did(update("--update", output=output)) == counts(new=6)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in (Path(output), manifest_path(Path(output)))]
    assert did(update("--update", output=output)) == counts(kept=6)
    after = [(path.read_bytes(), path.stat().st_mtime_ns) for path in (Path(output), manifest_path(Path(output)))]
    assert after == before
    assert sorted(path.name for path in Path().glob("*out*")) == [output, f"{output}.json"]


def test_without_it_there_is_no_column_source(update: Update) -> None:
    update()
    assert plain_rows("predictions.csv")[0] == ["path", "label", "score", "error"]
    update("--update")
    assert plain_rows("predictions.csv")[0] == ["path", "source", "label", "score", "error"]


def test_corrections_are_kept_and_of_two_files_the_later_counts(update: Update) -> None:
    update()
    Path("a.csv").write_text(
        "path,label,reviewed_at\nphotos/a.jpg,mountain,2026-01-01T00:00:00+00:00\n"
        "photos/b.png,,2026-01-01T00:00:00+00:00\nphotos/gone.jpg,cat,2026-01-01T00:00:00+00:00\n"
    )
    Path("b.csv").write_text("path,label,reviewed_at\nphotos/a.jpg,bird,2026-01-02T00:00:00+00:00\n")
    done = update("--update", "--corrections", "a.csv", "--corrections", "b.csv")
    assert did(done) == counts(kept=4, corrected=2)
    assert "photos/a.jpg: 'mountain' in a.csv, 'bird' in b.csv, which is the latest" in done.err
    assert "1 corrected row has a label that is none of the classes, photos/a.jpg ('bird')" in done.err
    assert "1 correction is of an image that is not among the inputs, photos/gone.jpg" in done.err
    rows = rows_of()
    assert rows["photos/a.jpg"] == ["person", "bird", "1.0", ""]
    assert rows["photos/b.png"] == ["person", "", "", ""]
    assert [cells[0] for path, cells in rows.items() if path[-5:] not in ("a.jpg", "b.png")][1:] == ["model"] * 4
    # They are in the output from then on, and no work of a later update.
    assert did(update("--update")) == counts(kept=6)
    assert rows_of() == rows


def test_labels_that_were_changed_in_the_output_itself_are_kept(update: Update) -> None:
    update()
    label = other_label("photos/c.webp")
    edit("photos/c.webp", label)
    edit("photos/e.bmp", "")
    assert did(update("--update")) == counts(kept=4, corrected=2)
    assert rows_of()["photos/c.webp"] == ["person", label, "1.0", ""]
    assert rows_of()["photos/e.bmp"] == ["person", "", "", ""]


def test_a_label_is_confirmed_or_given_back_to_the_model_by_its_source(update: Update) -> None:
    update("--update")
    before = rows_of()
    label = before["photos/b.png"][1]
    text = Path("predictions.csv").read_text().replace("photos/b.png,model,", "photos/b.png,person,")
    Path("predictions.csv").write_text(text)
    edit("photos/a.jpg", other_label("photos/a.jpg"))
    assert did(update("--update")) == counts(kept=4, corrected=2)
    assert rows_of()["photos/b.png"] == ["person", label, "1.0", ""]
    text = Path("predictions.csv").read_text().replace(",person,", ",,")
    Path("predictions.csv").write_text(text)
    assert did(update("--update")) == counts(kept=5, relabelled=1)
    assert rows_of() == before


def test_a_corrected_photo_that_is_renamed_later_is_moved(update: Update) -> None:
    update("--update")
    edit("photos/a.jpg", "bird")
    assert did(update("--update")) == counts(kept=5, corrected=1)
    os.rename("photos/a.jpg", "photos/z.jpg")
    assert did(update("--update")) == counts(kept=5, moved=1)
    assert rows_of()["photos/z.jpg"] == ["person", "bird", "1.0", ""]
    Path("c.csv").write_text("path,label,reviewed_at\nphotos/z.jpg,fish,2026-01-01T00:00:00+00:00\n")
    assert did(update("--update", "--corrections", "c.csv")) == counts(kept=5, corrected=1)
    assert did(update("--update", "--corrections", "c.csv")) == counts(kept=6)


def test_an_output_that_another_program_saved_is_read(update: Update) -> None:
    update()
    label = other_label("photos/c.webp")
    edit("photos/c.webp", label)
    text = Path("predictions.csv").read_text().replace(",", ";").replace(";0.", ";0,").replace("\n", "\r\n")
    Path("predictions.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert did(update("--update")) == counts(kept=5, corrected=1)
    assert rows_of()["photos/c.webp"] == ["person", label, "1.0", ""]


def test_new_labels_label_all_again_and_what_a_person_changed_is_told_by_the_old_ones(update: Update) -> None:
    """The labels and the output were changed at once: what the model said by the old labels tells who chose."""
    update()
    label = other_label("photos/c.webp")
    edit("photos/c.webp", label)
    done = update("--update", "--labels", "grass,rock")
    assert did(done) == counts(corrected=1, relabelled=5)
    assert "1 corrected row has a label that is none of the classes, photos/c.webp" in done.err
    update("--labels", "grass,rock", output="fresh.csv")
    fresh, rows = plain_rows("fresh.csv"), without_source("predictions.csv")
    assert [row for row in rows if row[0] != "photos/c.webp"] == [row for row in fresh if row[0] != "photos/c.webp"]
    assert rows_of()["photos/c.webp"] == ["person", label, "1.0", ""]


def test_a_changed_file_is_told_also_where_labels_are_new_and_the_output_was_edited(update: Update) -> None:
    """The model is asked by the old labels first, and must not forget by that which files have changed."""
    update("--update")
    edit("photos/c.webp", "bird")
    # Of another content, and for the model with random weights still a cat.
    picture("photos/b.png")
    assert rows_of()["photos/b.png"][1] == "cat"
    assert did(update("--update", "--labels", "grass,rock")) == counts(changed=1, corrected=1, relabelled=4)


def test_an_edited_output_of_a_model_that_is_gone_is_refused(update: Update, models: dict[str, Path]) -> None:
    shutil.copytree(models["vit"], "mine")
    update("--model", "mine")
    edit("photos/c.webp", "bird")
    shutil.copy(models["resnet"] / "open_clip_model.safetensors", "mine")
    shutil.copy(models["resnet"] / "open_clip_config.json", "mine")
    before = Path("predictions.csv").read_bytes()
    done = update("--update", "--model", "mine", code=2)
    assert "was edited since it was written, and it cannot be made again as it was: the weights of" in done.err
    assert Path("predictions.csv").read_bytes() == before


def test_a_moved_photo_is_known_and_its_correction_goes_along(update: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    update("--update")
    edit("photos/a.jpg", "bird")
    os.rename("photos/a.jpg", "photos/more/z.jpg")
    os.rename("photos/b.png", "photos/0.png")
    monkeypatch.setattr(Encoders, "each", lambda *_: pytest.fail("an image was encoded"))
    assert did(update("--update")) == counts(kept=4, moved=1, corrected=1)
    rows = rows_of()
    assert list(rows)[1:3] == ["photos/0.png", "photos/c.webp"]
    assert rows["photos/more/z.jpg"] == ["person", "bird", "1.0", ""]


def test_a_correction_of_a_file_by_its_old_name_is_taken(update: Update) -> None:
    update("--update")
    Path("c.csv").write_text("path,label,reviewed_at\nphotos/a.jpg,cat,2026-01-01T00:00:00+00:00\n")
    os.rename("photos/a.jpg", "photos/z.jpg")
    assert did(update("--update", "--corrections", "c.csv")) == counts(kept=5, corrected=1)
    assert rows_of()["photos/z.jpg"] == ["person", "cat", "1.0", ""]


def test_a_copy_of_a_corrected_photo_is_a_new_one(update: Update) -> None:
    update("--update")
    edit("photos/a.jpg", "bird")
    shutil.copy("photos/a.jpg", "photos/copy.jpg")
    assert did(update("--update")) == counts(kept=5, new=1, corrected=1)
    assert rows_of()["photos/copy.jpg"][0] == "model"


def test_a_file_of_other_content_is_changed_and_its_correction_is_kept(update: Update) -> None:
    update("--update")
    edit("photos/a.jpg", other_label("photos/a.jpg"))
    update("--update")
    picture("photos/b.png", seed=1)
    picture("photos/a.jpg", seed=2)
    done = update("--update")
    assert did(done) == counts(kept=4, changed=2)
    assert "1 corrected row is of a file that has changed since, photos/a.jpg" in done.err


def test_missing_images_are_kept_where_they_were_and_marked(update: Update) -> None:
    update("--update", "--top-k", 2)
    before = rows_of()
    Path("photos/c.webp").unlink()
    Path("photos/a.jpg").unlink()
    done = update("--update", "--top-k", 2, "--keep-missing")
    assert did(done) == f"{counts(kept=4)}, 2 missing"
    rows = rows_of()
    assert list(rows) == list(before)
    assert rows["photos/c.webp"] == [*before["photos/c.webp"][:-1], "missing: the image is no longer among the inputs"]
    content = Path("predictions.csv").read_bytes()
    assert did(update("--update", "--top-k", 2, "--keep-missing")) == f"{counts(kept=4)}, 2 missing"
    assert Path("predictions.csv").read_bytes() == content
    assert did(update("--update", "--top-k", 2)) == counts(kept=4, dropped=2)


def test_a_missing_image_behind_one_that_moved_is_kept(update: Update) -> None:
    update("--update")
    paths = list(rows_of())
    assert paths[1:3] == ["photos/a.jpg", "photos/b.png"]
    os.rename("photos/a.jpg", "photos/z.jpg")
    Path("photos/b.png").unlink()
    assert did(update("--update", "--keep-missing")) == f"{counts(kept=4, moved=1)}, 1 missing"
    assert list(rows_of()) == [paths[0], *paths[2:], "photos/z.jpg"]
    assert rows_of()["photos/b.png"][-1] == "missing: the image is no longer among the inputs"


def test_corrected_rows_that_are_dropped_are_in_a_copy(update: Update) -> None:
    update("--update")
    edit("photos/a.jpg", "bird")
    edited = Path("predictions.csv").read_bytes()
    Path("photos/a.jpg").unlink()
    done = update("--update")
    assert "predictions.csv is kept as predictions.csv.bak" in done.err
    assert Path("predictions.csv.bak").read_bytes() == edited
    Path("photos/b.png").unlink()
    assert ".bak" not in update("--update").err


def test_dropped_rows_of_a_person_are_listed_and_what_was_said_counts_again(update: Update) -> None:
    update("--update")
    rows = "".join(f"photos/{name},bird,2026-01-01T00:00:00+00:00\n" for name in ("a.jpg", "b.png"))
    Path("c.csv").write_text(f"path,label,reviewed_at\n{rows}")
    update("--update", "--corrections", "c.csv")
    edit("photos/c.webp", "fish")
    update("--update")
    for name in ("a.jpg", "b.png", "c.webp"):
        os.rename(f"photos/{name}", name)
    done = update("--update", "--corrections", "c.csv")
    assert did(done) == counts(kept=3, dropped=3)
    assert (
        "3 corrected rows are dropped, photos/a.jpg, photos/b.png, photos/c.webp: no longer among the inputs;"
        " --keep-missing keeps such rows; what was said of 2 of them stays in the files of corrections, and counts when"
        " the images are back" in " ".join(done.err.split())
    )
    assert "predictions.csv is kept as predictions.csv.bak" in done.err
    done = update("--update", "--corrections", "c.csv")
    assert "2 corrections are of images that are not among the inputs, such as photos/a.jpg: it stays" in done.err
    os.rename("a.jpg", "photos/a.jpg")
    assert did(update("--update", "--corrections", "c.csv")) == counts(kept=3, corrected=1)
    assert rows_of()["photos/a.jpg"] == ["person", "bird", "1.0", ""]


def test_a_correction_of_a_missing_photo_is_in_its_row(update: Update) -> None:
    """Else its row would keep the label of the model, and nothing would say so."""
    update("--update")
    Path("c.csv").write_text("path,label,reviewed_at\nphotos/a.jpg,bird,2026-01-01T00:00:00+00:00\n")
    os.rename("photos/a.jpg", "a.jpg")
    done = update("--update", "--keep-missing", "--corrections", "c.csv")
    assert did(done) == f"{counts(kept=5)}, 1 missing"
    missing = "missing: the image is no longer among the inputs"
    assert rows_of()["photos/a.jpg"] == ["person", "bird", "1.0", missing]
    os.rename("a.jpg", "photos/a.jpg")
    assert did(update("--update")) == counts(kept=6)
    assert rows_of()["photos/a.jpg"] == ["person", "bird", "1.0", ""]


def test_an_edited_row_of_a_missing_photo_is_in_a_copy(update: Update) -> None:
    """Nothing tells whose its label is, as the model cannot be asked."""
    update("--update")
    edit("photos/a.jpg", "bird")
    edited = Path("predictions.csv").read_bytes()
    Path("photos/a.jpg").unlink()
    done = update("--update", "--keep-missing")
    assert "gone may be ones that a person corrected; predictions.csv is kept as predictions.csv.bak" in done.err
    assert Path("predictions.csv.bak").read_bytes() == edited
    assert ".bak" not in update("--update", "--keep-missing").err


@pytest.mark.parametrize("path", ["a.jpg", "../photos/a.jpg"])
def test_corrections_from_another_folder_are_of_the_same_photos(update: Update, path: str) -> None:
    """Their paths are looked up as those of rows are: beside their file, then from the working folder."""
    update("--update")
    folder = Path("photos" if path == "a.jpg" else "reviews")
    folder.mkdir(exist_ok=True)
    row = f"{path},bird,2026-01-02T00:00:00+00:00\n"
    (folder / "c.csv").write_text(f"path,label,reviewed_at\n{row}{Path('photos/b.png').absolute()},fish,2026-01-01\n")
    Path("old.csv").write_text("path,label,reviewed_at\nphotos/a.jpg,cat,2026-01-01T00:00:00+00:00\n")
    done = update("--update", "--corrections", folder / "c.csv", "--corrections", "old.csv")
    assert did(done) == counts(kept=4, corrected=2)
    assert f"2 corrections name their images from another folder, such as {path}, which is photos/a.jpg" in done.err
    assert f"photos/a.jpg: 'cat' in old.csv, 'bird' in {folder}/c.csv, which is the latest" in done.err
    assert rows_of()["photos/a.jpg"][:2] == ["person", "bird"]
    assert rows_of()["photos/b.png"][:2] == ["person", "fish"]


@pytest.mark.usefixtures("few_words")
def test_images_of_none_of_the_labels_and_refined_labels(update: Update) -> None:
    update("--unknown")
    edit("photos/a.jpg", "")
    assert did(update("--update", "--unknown")).endswith("1 corrected, 0 relabelled")
    assert rows_of()["photos/a.jpg"] == ["person", "unknown", "1.0", "", "", ""]
    update("--update", "--refine")
    update("--refine", output="fresh.csv")
    assert without_source("predictions.csv")[2:] == plain_rows("fresh.csv")[2:]
    assert rows_of()["photos/a.jpg"] == ["person", "unknown", "1.0", ""]


@pytest.mark.usefixtures("few_words")
@pytest.mark.parametrize("wide", [(), ("--wide",)])
def test_several_labels_an_image(update: Update, wide: tuple[str, ...]) -> None:
    flags = ("--update", "--multi-label", *wide)
    update(*flags)
    before = rows_of()["photos/a.jpg"]
    Path("c.csv").write_text(
        "path,label,labels,reviewed_at\nphotos/a.jpg,dog,dog;bird,2026-01-01T00:00:00+00:00\n"
        "photos/b.png,,,2026-01-01T00:00:00+00:00\n"
    )
    assert "2 corrected" in did(update(*flags, "--corrections", "c.csv"))
    rows = rows_of()
    assert rows["photos/a.jpg"] == ["person", "dog;bird", *(before[2:] if wide else ["1.0;1.0", ""])]
    assert rows["photos/b.png"][:2] == ["person", ""]
    content = Path("predictions.csv").read_bytes()
    assert did(update(*flags)) == counts(kept=6)
    assert Path("predictions.csv").read_bytes() == content


def test_rows_of_parquet_over_several_parts_do_not_change(update: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come in other parts when they are encoded than when they are remembered."""
    monkeypatch.setattr("clipcli.outputs.parquet._GROUP_BYTES", 1)
    monkeypatch.setattr("clipcli.cli.classify_rows._TOGETHER", 2)
    update("--update", "--batch-size", 3, output="out.parquet")
    content = Path("out.parquet").read_bytes()
    assert pq.ParquetFile("out.parquet").num_row_groups == 3
    update("--update", output="out.parquet")
    assert Path("out.parquet").read_bytes() == content


def test_a_page_shows_what_a_person_said(update: Update) -> None:
    update("--update")
    edit("photos/a.jpg", "")
    edit("photos/b.png", "bird")
    update("--update", "--report", "page.html")
    page = Path("page.html").read_text()
    assert "bird" in page
    assert "none of the labels, by a person" in page
    update("--update", "--report", "page.html")


KILLED_WITH_ROWS = """
import os, signal
from clipcli.outputs.open import Output

def killed(output, rows):
    output._writer.write(rows[:2])
    os.kill(os.getpid(), signal.SIGKILL)

Output.write = killed
"""
KILLED_BEFORE_IT_IS_IN_PLACE = """
import os, signal
from clipcli.outputs import open

open.put_in_place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


def in_a_process(patch: str, *flags: object) -> int:
    """How an update ended in a process of its own that ran the lines `patch` before."""
    script = f"{patch}\nimport sys\nfrom clipcli.cli import main\nmain(sys.argv[1:])\n"
    command = [sys.executable, "-c", script, "classify", "photos", "--update", *map(str, flags)]
    return subprocess.run(command, check=False, capture_output=True, timeout=200).returncode


def test_a_kill_leaves_the_former_output_whole(update: Update, model: str, labels: Path) -> None:
    update("--update")
    before = Path("predictions.csv").read_bytes()
    picture("photos/aa.png")
    assert in_a_process(KILLED_WITH_ROWS, "--model", model, "--labels", labels) == -signal.SIGKILL
    assert Path("predictions.csv").read_bytes() == before
    assert len(parts_of(Path("predictions.csv").resolve())) == 1
    assert did(update("--update")) == counts(kept=6, new=1)
    assert parts_of(Path("predictions.csv").resolve()) == []


def test_a_kill_between_manifest_and_output_is_made_good(update: Update, model: str) -> None:
    """Else the labels of the old output would count as a person's, as the new manifest has others."""
    update("--update")
    flags = ("--model", model, "--labels", "grass,rock")
    assert in_a_process(KILLED_BEFORE_IT_IS_IN_PLACE, *flags) == -signal.SIGKILL
    assert rows_of()["photos/a.jpg"][1] in ("cat", "dog", "beach", "mountain")
    done = update("--update", "--labels", "grass,rock")
    assert did(done) == counts(kept=6)
    assert rows_of()["photos/a.jpg"][:2] in (["model", "grass"], ["model", "rock"])


def test_an_interrupted_update_leaves_the_output_as_it_was(update: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    update("--update")
    before = Path("predictions.csv").read_bytes()
    Path("photos/a.jpg").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Output, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        done = update("--update", code=130)
    assert done.err.splitlines()[-1] == "Stopped after 5 of 5 images; predictions.csv is as it was."
    assert Path("predictions.csv").read_bytes() == before
    assert parts_of(Path("predictions.csv").resolve()) == []


def test_a_first_update_that_is_stopped_leaves_its_rows(update: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run without it does; the next one goes on."""
    merged, left = Merge._merged, [1]

    def stopped(merge: Merge, rows: Sequence[Row]) -> tuple[Row, ...]:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return merged(merge, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Merge, "_merged", stopped)
        done = update("--update", "--batch-size", 2, code=130)
    assert "Stopped after 2 of 6 images; their rows are in predictions.csv." in done.err
    assert list(rows_of()) == ["path", "photos/a.jpg", "photos/b.png"]
    assert did(update("--update", "--batch-size", 2)) == counts(kept=2, new=4)


def test_what_is_saved_meanwhile_is_not_lost(update: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    update("--update")
    Path("photos/a.jpg").unlink()
    write = Output.write

    def edited_meanwhile(self: Output, rows: object) -> None:
        edit("photos/b.png", "bird")
        write(self, rows)

    monkeypatch.setattr(Output, "write", edited_meanwhile)
    done = update("--update", code=2)
    assert "predictions.csv was changed meanwhile, as by hand, and is left so; run this again" in done.err
    assert rows_of()["photos/b.png"][1] == "bird"


def test_other_inputs_are_refused_and_images_outside_of_them_are_told(update: Update, run: Run, model: str) -> None:
    update("--update")
    flags = ("--model", model, "--labels", "cat,dog,beach,mountain", "--update")
    Path("other").mkdir()
    picture("other/x.png")
    refused = run("classify", "other", *flags)
    assert refused.code == 2
    assert "predictions.csv is of other inputs: none of its images, such as 'photos/a.jpg', is among" in refused.err
    assert did(run("classify", "other", "photos", *flags)) == counts(kept=6, new=1)
    done = run("classify", "other", *flags)
    assert did(done) == counts(kept=1, dropped=6)
    assert "6 dropped rows are of images that are still there, but not among the inputs" in done.err


def test_an_update_from_another_folder_is_refused(
    update: Update, run: Run, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all images would count as new ones, and what a person said would be gone."""
    update("--update")
    before = Path("predictions.csv").read_bytes()
    Path("below").mkdir()
    monkeypatch.chdir("below")
    refused = run(
        "classify", "../photos", "--model", model, "--labels", "cat,dog", "--update", "-o", "../predictions.csv"
    )
    assert refused.code == 2
    assert "the images of ../predictions.csv, such as 'photos/a.jpg', are named from another folder; run" in refused.err
    assert Path("../predictions.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--corrections", "c.csv"), "--corrections says how an output is brought up to date; give --update as well"),
        (("--watch",), "--watch says how an output is brought up to date; give --update as well"),
        (("--keep-missing",), "--keep-missing says how an output is brought up to date"),
        (("--update", "--resume"), "and keeps what still holds; drop --resume, or --update"),
        (("--update", "--overwrite"), "drop --overwrite, or --update"),
        (("--update", "--no-manifest"), "what a person changed; drop --no-manifest, or --update"),
        (("--update", "--max-images", 3), "drop --max-images, or --update"),
        (("--update", "--sample", 3), "drop --sample, or --update"),
        (("--update", "--watch", "--report", "p.html"), "drop --report, or --watch"),
        (("--update", "-o", "-"), "--update needs an output that can be read again"),
        (("--update", "--multi-label", "--wide", "--labels", "a,source"), "rename the label 'source', or drop --wide"),
    ],
)
def test_what_does_not_fit_together(update: Update, flags: tuple[object, ...], message: str) -> None:
    assert message in update(*flags, code=2).err


@pytest.mark.usefixtures("photos")
def test_a_file_of_corrections_is_not_taken_for_images(run: Run) -> None:
    Path("b.csv").write_text("path,label,reviewed_at\n")
    done = run("classify", "photos", "--labels", "cat,dog", "--update", "b.csv")
    assert done.code == 2
    assert "b.csv among the inputs is a file of corrections; give --corrections b.csv" in done.err


def test_an_output_without_a_manifest_is_refused(update: Update) -> None:
    update("--no-manifest")
    assert "predictions.csv has no manifest (predictions.csv.json)" in update("--update", code=2).err


def test_resume_names_it(update: Update) -> None:
    update()
    assert "bring it up to date with --update" in update("--resume", "--top-k", 2, code=2).err
    assert "--update to bring it up to date" in update(code=2).err
    update("--update")
    assert "is kept up to date with --update; go on with that" in update("--resume", code=2).err


def tagged(path: str) -> Path:
    """Write into a photo as tagging does, by a step of its own; returns the journal."""
    from clipcli.actions.journal import Journal
    from clipcli.actions.replace import Keeper
    from clipcli.commands.tag import changes
    from clipcli.commands.tag.photos import Photo, Wanted
    from clipcli.memory.memory import open_memory

    class Tool:
        """Writes a packet behind the photo."""

        def can_write(self, _: str) -> bool:
            return True

        def packet_of(self, _: str) -> None:
            return None

        def with_packet(self, photo: str, packet: bytes) -> bytes:
            return Path(photo).read_bytes() + packet

    wanted = Wanted(paths=(("cat",),), scores=("0.9",), model="m", date="2026-01-01T00:00:00+00:00")
    [change] = changes.changes_of_photos([Photo(path, path, wanted)], Tool(), open_memory(cache=True))
    with Journal.create(Path.cwd(), command="tag") as journal:
        assert changes.apply(change, Keeper(journal)) is change
        journal.end()
    return journal.path


def test_a_photo_that_was_tagged_within_is_not_encoded_again(update: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it changed, moved or new: its pixels are what they were; the same for undoing it."""
    update("--update")
    edit("photos/b.png", "bird")
    update("--update")
    before, content = Path("predictions.csv").read_bytes(), Path("photos/a.jpg").read_bytes()
    monkeypatch.setattr(Encoders, "each", lambda *_: pytest.fail("an image was encoded"))
    journal = tagged("photos/a.jpg")
    assert Path("photos/a.jpg").read_bytes() != content
    assert did(update("--update")) == counts(kept=6)
    tagged("photos/a.jpg")
    assert did(update("--update")) == counts(kept=6)
    done = update("--update")
    assert Path("predictions.csv").read_bytes() == before
    tagged("photos/b.png")
    os.rename("photos/b.png", "photos/more/z.png")
    done = update("--update")
    assert (did(done), "changed since" in done.err) == (counts(kept=5, moved=1), False)
    assert rows_of()["photos/more/z.png"][:2] == ["person", "bird"]
    assert journal.is_file()


def test_undoing_tags_leaves_photos_as_known(update: Update, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only the photo with its tags was ever encoded."""
    content = Path("photos/a.jpg").read_bytes()
    journal = tagged("photos/a.jpg")
    update("--update")
    monkeypatch.setattr(Encoders, "each", lambda *_: pytest.fail("an image was encoded"))
    assert run("undo", journal).code == 0
    assert Path("photos/a.jpg").read_bytes() == content
    assert did(update("--update")) == counts(kept=6)


@pytest.mark.usefixtures("photos")
def test_an_output_of_embeddings_is_brought_up_to_date(run: Run, model: str) -> None:
    flags = ("classify", "--embeddings", "e.parquet", "--labels", "cat,dog,beach")
    run("embed", "photos", "--model", model, "-o", "e.parquet")
    assert did(run(*flags, "--update")) == counts(new=6)
    label = other_label("photos/a.jpg")
    edit("photos/a.jpg", label)
    os.rename("photos/b.png", "photos/z.png")
    picture("photos/aa.png")
    run("embed", "photos", "--model", model, "-o", "e.parquet", "--overwrite")
    done = run(*flags, "--update")
    assert did(done) == counts(kept=4, new=1, moved=1, corrected=1)
    assert rows_of()["photos/a.jpg"] == ["person", label, "1.0", ""]
    # By other labels and from another file, what a person changed is told by the former labels.
    edit("photos/aa.png", other_label("photos/aa.png"))
    run("embed", "photos", "--model", model, "-o", "other.npy")
    done = run("classify", "--embeddings", "other.npy", "--labels", "grass,rock", "--update")
    assert did(done) == counts(kept=1, corrected=1, relabelled=5)
    # And from the images themselves.
    done = run("classify", "photos", "--model", model, "--labels", "grass,rock", "--update")
    assert did(done) == counts(kept=7)
    assert "--watch waits for images in folders; drop --embeddings" in run(*flags, "--update", "--watch").err


HOLDS = """
import os, sys
from clipcli.files.locks import only_writer
with only_writer("predictions.csv"):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer() -> Iterator[subprocess.Popen[str]]:
    """Another process that writes the output, until its input ends."""
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def test_while_another_run_writes_the_output_every_way_to_write_it_is_refused(
    update: Update, writer: subprocess.Popen[str]
) -> None:
    update("--update", output="other.csv")
    os.rename("other.csv", "predictions.csv")
    os.rename("other.csv.json", "predictions.csv.json")
    number = writer.stdout.readline().strip()
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    for flags in ((), ("--overwrite",), ("--resume",), ("--update",), ("--update", "--watch"), ("--no-manifest",)):
        done = update(*flags, code=2)
        assert f"another run (process {number}) is writing predictions.csv; wait for its end" in done.err
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
    writer.communicate()
    update("--update")
    assert not list(Path().glob(".*"))


def test_the_lock_of_a_run_that_was_killed_is_taken_over(update: Update, writer: subprocess.Popen[str]) -> None:
    writer.stdout.readline()
    writer.kill()
    writer.wait()
    assert Path(".predictions.csv.lock").is_file()
    update("--update")
    assert not list(Path().glob(".*"))
