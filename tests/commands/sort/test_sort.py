"""Where images go: by which label, under which name, with what, and what is left where it is."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import threading
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import ExifTags, Image

import clipcli
from clipcli.actions import files
from clipcli.commands.sort.apply import apply_plan
from clipcli.commands.sort.run import Sorted, run
from clipcli.commands.sort.settings import SortSettings
from clipcli.errors import ClipcliWarning, InputNotFound, OutputFailed, UsageError
from clipcli.events import Noted, Warned

from .conftest import LABELS, files_below, put_photos, write_output

pytestmark = pytest.mark.usefixtures("album")
Said = list[str]


def sort(**options: Any) -> tuple[Sorted, Said]:
    """Sort the album into `sorted`, and what it said; without `apply` files are where they were."""
    events = run(SortSettings(**{"predictions": "predictions.csv", "into": "sorted", **options}))
    said = []
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            return stop.value, said
        if isinstance(event, Warned | Noted):
            said.append(event.message)


def placed(**options: Any) -> list[str]:
    """The files that are in `sorted` after sorting."""
    sort(apply=True, **options)
    return list(files_below("sorted"))


ALL = [
    *("cat/a-2.aae", "cat/a-2.jpg", "cat/a.CR2", "cat/a.jpg", "cat/a.jpg.xmp", "cat/c.jpg"),
    *("dog/b.jpg", "dog/b.xmp", "dog/d.MOV", "dog/d.heic"),
]


def test_a_plan_touches_nothing() -> None:
    before = files_below()
    found, said = sort()
    assert files_below() == before
    assert not Path("sorted").exists()
    assert found.applied is None
    assert (found.plan.folders, found.plan.images, found.plan.there) == ({"cat": 3, "dog": 2}, 5, 0)
    assert len(found.plan.actions) == 10
    assert found.plan.size == sum(map(len, files_below("photos").values()))
    assert [action.source for action in found.plan.actions if action.target.endswith("a-2.aae")] == [
        os.path.abspath("photos/more/a.aae")
    ]
    assert any(line.startswith("1 file has the name of another in its folder, ") for line in said)


@pytest.mark.parametrize("by", ["copy", "move", "hardlink", "symlink"])
def test_each_way_brings_what_belongs_together_to_one_folder(by: str) -> None:
    before = files_below("photos")
    found, said = sort(apply=True, by=by)
    assert list(files_below("sorted")) == ALL
    assert sorted(files_below("sorted").values()) == sorted(before.values())
    assert files_below("photos") == ({} if by == "move" else before)
    assert Path("sorted/cat/a-2.jpg").is_symlink() == (by == "symlink")
    assert (found.applied is not None and found.applied.done) == 10
    if by == "hardlink":
        assert Path("sorted/cat/a-2.jpg").samefile("photos/more/a.jpg")
    assert any(line.startswith("5 files belong to these images, such as ") for line in said)
    # What was done is not done again, and all can be brought back.
    again, _ = sort(apply=True, by=by)
    assert (again.plan.actions, again.plan.there, again.applied) == ((), 5, None)
    assert found.applied is not None
    clipcli.undo(found.applied.journal)
    assert files_below("photos") == before
    assert [path.name for path in Path("sorted").iterdir()] == [found.applied.journal.name]


def test_copies_keep_their_times_and_permissions() -> None:
    os.utime("photos/c.jpg", (10**9, 10**9))
    os.chmod("photos/c.jpg", 0o440)
    sort(apply=True)
    stat = os.stat("sorted/cat/c.jpg")
    assert (stat.st_mtime, stat.st_mode & 0o777) == (10**9, 0o440)


def test_names_that_differ_by_capitals_alone_are_two() -> None:
    put_photos(["x/IMG.JPG", "y/img.jpg", "y/img.xmp"])
    write_output({"x/IMG.JPG": "cat", "y/img.jpg": "cat"})
    assert placed() == ["cat/IMG.JPG", "cat/img-2.jpg", "cat/img-2.xmp"]


def test_a_sidecar_that_has_a_name_of_another_takes_its_image_along() -> None:
    put_photos(["x/a.jpg", "x/a.xmp", "y/a.png", "y/a.xmp"])
    write_output({"x/a.jpg": "cat", "y/a.png": "cat"})
    assert placed() == ["cat/a-2.png", "cat/a-2.xmp", "cat/a.jpg", "cat/a.xmp"]
    assert files_below("sorted")["cat/a-2.xmp"] == "bytes of y/a.xmp"


def test_the_same_content_twice_is_said_and_kept() -> None:
    put_photos(["x/a.jpg", "y/a.jpg"])
    Path("photos/y/a.jpg").write_text("bytes of x/a.jpg")
    write_output({"x/a.jpg": "cat", "y/a.jpg": "cat"})
    _, said = sort(apply=True)
    assert list(files_below("sorted")) == ["cat/a-2.jpg", "cat/a.jpg"]
    assert any(line.startswith("1 of these has the same content as that other one, ") for line in said)


@pytest.mark.parametrize("by", ["copy", "move", "hardlink", "symlink"])
def test_files_of_others_are_never_replaced(by: str) -> None:
    for name in ("cat/A.JPG", "cat/a-2.jpg", "dog"):
        Path("sorted", name).parent.mkdir(parents=True, exist_ok=True)
        Path("sorted", name).write_text("mine")
    mine = files_below("sorted")
    assert placed(by=by)[:4] == ["cat/A.JPG", "cat/a-2.jpg", "cat/a-3.CR2", "cat/a-3.jpg"]
    assert files_below("sorted").items() >= mine.items()
    assert files_below("sorted")["dog-2/b.jpg"] == "bytes of b.jpg"


def test_a_file_that_comes_at_the_last_moment_is_not_replaced() -> None:
    found, _ = sort()
    Path("sorted/cat").mkdir(parents=True)
    Path("sorted/cat/a.jpg").write_text("mine")
    events = apply_plan(found.plan, None, threading.Event())
    applied = None
    while applied is None:
        try:
            next(events)
        except StopIteration as stop:
            applied = stop.value
    assert [(failed.file, failed.reason) for failed in applied.failed] == [
        (os.path.abspath("photos/a.jpg"), "File exists")
    ]
    assert Path("sorted/cat/a.jpg").read_text() == "mine"


def test_a_copy_that_is_there_already_is_not_made_again() -> None:
    Path("sorted/cat").mkdir(parents=True)
    Path("sorted/cat/a.jpg").write_text("bytes of a.jpg")
    found, _ = sort(apply=True)
    assert found.plan.there == 1
    assert list(files_below("sorted")) == ALL


def test_a_link_of_an_earlier_run_is_no_copy() -> None:
    sort(apply=True, by="symlink")
    assert Path("sorted/cat/c.jpg").is_symlink()
    sort(apply=True)
    assert not Path("sorted/cat/c-2.jpg").is_symlink()


def test_files_of_a_group_that_differ_by_capitals_alone_are_all_kept() -> None:
    put_photos(["x/a.jpg", "x/a.xmp", "x/a.XMP"])
    write_output({"x/a.jpg": "cat"})
    assert len(placed()) == 3


def test_an_image_with_a_row_is_no_companion_of_another() -> None:
    put_photos(["x/a.tif", "x/a.dng"])
    write_output({"x/a.tif": "cat", "x/a.dng": "dog"})
    assert placed(by="move") == ["cat/a.tif", "dog/a.dng"]


def test_what_two_moved_images_share_goes_with_the_first() -> None:
    put_photos(["x/a.jpg", "x/a.png", "x/a.xmp"])
    write_output({"x/a.jpg": "cat", "x/a.png": "dog"})
    _, said = sort(apply=True, by="move")
    assert list(files_below("sorted")) == ["cat/a.jpg", "cat/a.xmp", "dog/a.png"]
    assert "1 file belongs to several images that are moved apart, " in "".join(said)


def test_scores_and_ranks_choose_labels() -> None:
    Path("predictions.csv").write_text(
        "path,label,score,label_2,score_2,error\n"
        "photos/a.jpg,cat,0.6,dog,0.4,\nphotos/b.jpg,dog,0.9,cat,0.1,\nphotos/c.jpg,,,,,not an image\n"
    )
    assert sort()[0].plan.folders == {"cat": 1, "dog": 1}
    assert sort(top_k=2)[0].plan.folders == {"cat": 2, "dog": 2}
    found, said = sort(top_k=2, min_score=0.4)
    assert found.plan.folders == {"cat": 1, "dog": 2}
    assert "1 row has an error and no label, photos/c.jpg: left where they are" in said
    found, said = sort(min_score=0.7)
    assert found.plan.folders == {"dog": 1}
    assert "1 image has no label with so high a score, photos/a.jpg: left" in said
    with pytest.raises(UsageError, match=r"--by move brings an image to one place, and photos/a.jpg has 2 labels"):
        sort(top_k=2, by="move")
    assert sort(top_k=2, min_score=0.5, by="move")[0].plan.images == 2


def test_an_image_of_several_labels_goes_to_each() -> None:
    Path("predictions.csv").write_text(
        "path,labels,scores,error\nphotos/a.jpg,cat;dog,0.9;0.8,\nphotos/b.jpg,,,\nphotos/c.jpg,dog,0.7,\n"
    )
    assert sort(top_k=1)[0].plan.folders == {"cat": 1, "dog": 1}
    found, said = sort(apply=True)
    assert found.plan.folders == {"cat": 1, "dog": 2}
    assert "1 row has no label, photos/b.jpg: left where they are" in said
    assert list(files_below("sorted")) == [
        *("cat/a.CR2", "cat/a.jpg", "cat/a.jpg.xmp", "dog/a.CR2", "dog/a.jpg", "dog/a.jpg.xmp", "dog/c.jpg"),
    ]


def test_groups_are_folders() -> None:
    Path("predictions.csv").write_text(
        "path,label,score,label_path,error\n"
        r"photos/a.jpg,tabby,0.6,animal/cat/tabby," + "\n"
        r"photos/b.jpg,a/c,0.9,thing/a\/c," + "\n"
    )
    assert list(sort(folders="{label_path}")[0].plan.folders) == ["animal/cat/tabby", "thing/a_c"]
    assert list(sort(folders="{group}/{label}")[0].plan.folders) == ["animal/tabby", "thing/a_c"]
    # The groups of a label that was corrected by hand are the label's own, and not those that still stand in its row.
    predictions = Path("predictions.csv")
    predictions.write_text(
        predictions.read_text()
        + "photos/c.jpg,husky,0.7,animal/dog/husky,\nphotos/more/a.jpg,husky,0.6,animal/cat/tabby,\n"
    )
    assert sort(folders="{label_path}")[0].plan.folders["animal/dog/husky"] == 2


def test_folders_by_the_date_of_the_photo() -> None:
    for name, tag in (("a.jpg", ExifTags.Base.DateTimeOriginal), ("b.jpg", ExifTags.Base.DateTimeDigitized)):
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[tag] = "2019:07:31 23:59:59"
        Image.new("RGB", (4, 4)).save(f"photos/{name}", exif=exif)
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "0000:00:00 00:00:00"
    Image.new("RGB", (4, 4)).save("photos/c.jpg", exif=exif)
    for name in LABELS:
        os.utime(f"photos/{name}", (10**9, 10**9))
    found, said = sort(folders="{label}/{year}-{month}-{day}")
    expected = {"cat/2019-07-31": 1, "dog/2019-07-31": 1, "cat/2001-09-09": 2, "dog/2001-09-09": 1}
    assert found.plan.folders == expected
    assert any(
        line.startswith("3 images do not say when they were taken, such as photos/c.jpg: the day") for line in said
    )


def test_what_has_vanished_is_left_out() -> None:
    Path("photos/b.jpg").unlink()
    found, said = sort(apply=True)
    assert found.vanished == ("photos/b.jpg",)
    assert found.plan.images == 4
    assert any(line.startswith("1 image has vanished since it was labelled, photos/b.jpg: left out") for line in said)


def test_paths_are_found_beside_the_predictions_but_not_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out").mkdir()
    Path("predictions.csv").rename("out/p.csv")
    assert clipcli.sort("out/p.csv", into="sorted").plan.images == 5
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    with pytest.raises(InputNotFound, match=r"none of the 5 images is there, such as photos/a\.jpg; paths in"):
        clipcli.sort("../out/p.csv", into="sorted")
    Path("../out/p.csv").rename("../p.csv")
    assert clipcli.sort("../p.csv", into="sorted", apply=True).plan.images == 5
    assert list(files_below("sorted")) == ALL
    monkeypatch.chdir("..")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClipcliWarning)
        assert clipcli.sort("p.csv", into="elsewhere/sorted").plan.there == 5


def test_images_that_changed_are_counted() -> None:
    begun = "2024-05-01T12:00:00+00:00"
    manifest = {"clipcli_manifest": 1, **MANIFEST, "begun": begun}
    Path("predictions.csv.json").write_text(json.dumps(manifest))
    for name in LABELS:
        os.utime(f"photos/{name}", (1714564800, 1714564800))
    os.utime("photos/b.jpg", (1714564802, 1714564802))
    _, said = sort()
    assert any(line.startswith("1 image has changed since it was labelled, photos/b.jpg: the labels") for line in said)
    assert any(line.startswith("4 images are not in the cache, such as photos/a.jpg: that they are ") for line in said)


MANIFEST: dict[str, Any] = {
    "provenance": {
        "command": "classify",
        "settings": {},
        "model": "m",
        "classes": [],
        "prompts": "p",
        "templates": None,
        "classifier": None,
        "inputs": ["photos"],
        "images": 5,
        "images_digest": "",
        "kept": [],
    },
    "model": None,
    "format": "csv",
    "state": "complete",
    "rows": 5,
    "skipped": 0,
    "sha256": None,
    "finished": None,
    "clipcli": "0",
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_copies_are_taken_out_of_archives(kind: str) -> None:
    if kind == "zip":
        with zipfile.ZipFile("data.zip", "w") as archive:
            archive.writestr("in/a.jpg", "zipped")
    else:
        with tarfile.open("data.tar", "w") as shard:
            info = tarfile.TarInfo("in/a.jpg")
            info.size = 6
            shard.addfile(info, io.BytesIO(b"zipped"))
    Path("predictions.csv").write_text(
        f"path,label,score,error\ndata.{kind}/in/a.jpg,cat,0.9,\nphotos/a.jpg,cat,0.9,\n"
    )
    found, said = sort(apply=True)
    assert files_below("sorted")["cat/a.jpg"] == "zipped"
    assert files_below("sorted")["cat/a-2.jpg"] == "bytes of a.jpg"
    assert any(line.startswith("1 image is in a zip or a shard, ") and "taken out of it" in line for line in said)
    assert sort()[0].plan.there == 2
    assert found.applied is not None
    clipcli.undo(found.applied.journal)
    assert files_below("sorted") == {}
    for by in ("move", "hardlink", "symlink"):
        found, said = sort(by=by)
        assert found.plan.images == 1
        assert any("only --by copy can take them out" in line for line in said)


def test_an_image_in_a_cell_is_named_by_its_row() -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    pq.write_table(pa.table({"image": [stream.getvalue()] * 2}), "data.parquet")
    Path("predictions.csv").write_text("path,label,score,error\ndata.parquet row 2,cat,0.9,\n")
    sort(apply=True)
    assert Path("sorted/cat/data-2.png").read_bytes() == stream.getvalue()


def test_links_are_not_moved() -> None:
    Path("photos/c.jpg").unlink()
    Path("photos/c.jpg").symlink_to("a.jpg")
    _, said = sort(apply=True, by="move")
    assert Path("photos/c.jpg").is_symlink()
    assert any(line.startswith("1 image is a link, photos/c.jpg: not moved") for line in said)
    assert not Path("sorted/cat/c.jpg").exists()


def test_other_labels_move_images_on() -> None:
    before = files_below("photos")
    sort(apply=True, by="move")
    write_output({**LABELS, "b.jpg": "cat"})
    found, _ = sort(apply=True, by="move")
    assert [(Path(a.source).name, Path(a.target).parent.name) for a in found.plan.actions] == [
        *(("b.jpg", "cat"), ("b.xmp", "cat")),
    ]
    assert found.applied is not None
    [first] = [path for path in Path("sorted").glob("clipcli-journal-*") if path.name != found.applied.journal.name]
    with pytest.warns(ClipcliWarning, match="about the same files; undo that one first, or give both"):
        left = {Path(one.step.target).name: one.left for one in clipcli.undo(first).left}
    gone = "it is no longer there"
    assert left == {"b.jpg": gone, "b.xmp": gone, "cat": "Directory not empty"}
    clipcli.undo(found.applied.journal)
    clipcli.undo(first)
    assert files_below("photos") == before
    assert files_below("sorted") == {}


def test_copies_of_an_earlier_run_in_other_folders_are_said() -> None:
    sort(apply=True)
    write_output({**LABELS, "b.jpg": "cat"})
    _, said = sort(apply=True)
    assert any(
        line.startswith("1 image was brought to another folder by an earlier run, photos/b.jpg: ") for line in said
    )
    assert {"cat/b.jpg", "dog/b.jpg"} <= files_below("sorted").keys()


def test_a_renamed_folder_is_still_undone() -> None:
    found, _ = sort(apply=True, by="move")
    before = files_below("sorted")
    Path("sorted").rename("other")
    assert found.applied is not None
    assert sort(into="other", by="move")[0].plan.there == 5
    result = clipcli.undo(Path("other") / found.applied.journal.name)
    assert (result.undone, result.left) == ({"move": 10, "folder": 2}, ())
    assert sorted(files_below("photos").values()) == sorted(before.values())


def test_sorting_in_place() -> None:
    before = files_below("photos")
    found, _ = sort(apply=True, by="move", into="photos")
    assert [name for name in files_below("photos") if "/" in name] == ALL
    assert sort(by="move", into="photos")[0].plan.there == 5
    assert found.applied is not None
    clipcli.undo(found.applied.journal)
    assert files_below("photos") == before


def test_a_file_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rename = files.rename_new

    def refuse(source: str, target: str) -> None:
        if target.endswith("c.jpg"):
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(files, "rename_new", refuse)
    found, _ = sort(apply=True, by="move")
    assert found.applied is not None
    assert [(one.file, one.reason) for one in found.applied.failed] == [
        (os.path.abspath("photos/c.jpg"), "Permission denied")
    ]
    assert found.applied.done == 9
    monkeypatch.setattr(files, "rename_new", rename)
    again, _ = sort(apply=True, by="move")
    assert (len(again.plan.actions), list(files_below("sorted"))) == (1, ALL)


def test_a_full_disk_ends_it_with_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    rename = files.rename_new

    def refuse(source: str, target: str) -> None:
        if target.endswith("b.jpg"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(files, "rename_new", refuse)
    with pytest.raises(
        OutputFailed, match=r"No space left on device; 3 of 10 files were done before, and their journal"
    ):
        sort(apply=True)
    monkeypatch.setattr(files, "rename_new", rename)
    found, _ = sort(apply=True)
    assert found.applied is not None
    assert found.applied.done == 7
    # It went on in the same journal.
    assert [path.name for path in Path("sorted").glob("clipcli-journal-*")] == [found.applied.journal.name]
    assert clipcli.undo(found.applied.journal).undone == {"copy": 10, "folder": 2}


def test_too_little_space_is_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    _, said = sort()
    assert any("MB more than there are free" in line for line in said)
    with pytest.raises(OutputFailed, match="nothing was done"):
        sort(apply=True)
    assert not Path("sorted").exists()
    assert sort(apply=True, by="symlink")[0].applied is not None


def test_hard_links_to_another_file_system_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., os.stat_result] = os.stat

    def stat(path: Any, **given: Any) -> Any:
        found = original(path, **given)
        return os.stat_result((*found[:2], 7, *found[3:])) if str(path).endswith("b.jpg") else found

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(UsageError, match=r"a hard link needs one file system, and .*b.jpg is on another than .*sorted"):
        sort(by="hardlink")
    _, said = sort(by="move")
    assert any("copied, compared, and then removed where it was" in line for line in said)


def test_what_is_no_folder_or_no_output_is_refused() -> None:
    Path("file").touch()
    with pytest.raises(UsageError, match=r"--into file is no folder; give another"):
        sort(into="file")
    with pytest.raises(InputNotFound, match=r"cannot read none\.csv"):
        clipcli.sort("none.csv", into="sorted")


def test_what_a_person_said_has_a_full_score() -> None:
    Path("predictions.csv").write_text(
        "path,source,label,score,error\nphotos/a.jpg,person,dog,1,\nphotos/b.jpg,model,dog,0.4,\n"
    )
    assert sort(min_score=0.5)[0].plan.folders == {"dog": 1}


def test_images_outside_the_folder_of_the_predictions_are_named(tmp_path: Path) -> None:
    os.mkdir("results")
    shutil.move("predictions.csv", "results/predictions.csv")
    shutil.copy("photos/a.jpg", "results/in.jpg")
    outside = tmp_path / "photos"
    with open("results/predictions.csv", "a", encoding="utf-8") as file:
        file.write("in.jpg,cat,0.9,\n")
    said = sort(predictions="results/predictions.csv")[1]
    assert said[0] == (
        f"5 images lie outside the folder of the predictions, such as photos/a.jpg (3 in {outside},"
        f" 2 in {outside / 'more'}): sorted as the others are"
    )


def test_images_within_the_folder_of_the_predictions_are_not() -> None:
    assert not any("outside" in one for one in sort()[1])


def test_an_image_of_several_rows_is_one_image() -> None:
    with open("predictions.csv", "a", encoding="utf-8") as file:
        file.write("photos/a.jpg,cat,0.9,\nphotos/../photos/a.jpg,dog,0.8,\n")
    done, said = sort()
    assert (done.plan.images, done.plan.there, dict(done.plan.folders)) == (5, 0, {"cat": 3, "dog": 2})
    assert "2 rows are of images again, such as photos/a.jpg: the first row of each image counts" in said
    moved, _ = sort(by="move", apply=True)
    assert moved.applied is not None
    assert moved.applied.failed == ()
