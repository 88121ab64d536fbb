"""`clipcli find`: paths for other programs on standard output, words on standard error, and a page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from clipcli.cli import exit_codes

from .conftest import Run


def test_paths_go_to_standard_output_best_first(run: Run, photos: Path, model: str) -> None:
    done = run("find", "a dog", photos, "--model", model)
    paths = done.out.splitlines()
    assert done.code == exit_codes.DONE
    assert sorted(paths) == sorted(str(path) for path in photos.rglob("*.*"))
    assert done.err.splitlines()[-1].startswith("The best 6 of 6 images, with scores from ")
    assert done.err.endswith("; a score is a cosine.\n")
    again = run("find", "a dog", photos, "--model", model, "--top", 2, "--null", "--quiet")
    assert (again.out, again.err) == ("".join(f"{path}\0" for path in paths[:2]), "")
    lines = [json.loads(line) for line in run("find", "a dog", photos, "--model", model, "--json").out.splitlines()]
    assert [line["path"] for line in lines] == paths
    scores = [line["score"] for line in lines]
    assert scores == sorted(scores, reverse=True)
    some = run("find", "a dog", photos, "--model", model, "--min-score", scores[2] - 1e-5)
    assert some.out.splitlines() == paths[:3]
    none = run("find", "a dog", photos, "--model", model, "--min-score", 1)
    assert (none.code, none.out) == (exit_codes.DONE, "")
    assert "None of 6 images reaches the score; lower it, or leave it out." in none.err


def test_a_name_that_is_no_text_goes_out_as_it_is(run: Run, photos: Path, model: str, tmp_path: Path) -> None:
    shutil.copy(photos / "a.jpg", tmp_path / "b\udcff.jpg")
    done = run("find", "a dog", tmp_path, "--model", model, "--json")
    assert f"{tmp_path}/b\udcff.jpg" in [json.loads(line)["path"] for line in done.out.splitlines()]


def test_the_page_has_what_was_found(run: Run, photos: Path, model: str) -> None:
    asked = ("find", "a <dog>", photos, "--model", model, "--like", photos / "a.jpg", "--not", "people")
    done = run(*asked, "--top", 3, "--html", "page.html")
    assert done.err.endswith("page.html: a page of the photos to look through in a browser.\n")
    page = Path("page.html").read_text()
    assert f"a &lt;dog&gt;, like {photos}/a.jpg, not people" in page
    assert page.count("data:image/jpeg") == 3
    for path in done.out.splitlines():
        assert path in page
    refused = run(*asked, "--html", "page.html")
    assert (refused.code, refused.out) == (exit_codes.WRONG_USAGE, "")
    assert "page.html exists; give another --html, or --overwrite to replace it" in refused.err
    assert run(*asked, "--html", "page.html", "--overwrite").code == exit_codes.DONE


def test_bad_images_are_listed(run: Run, photos: Path, model: str) -> None:
    (photos / "bad.jpg").touch()
    done = run("find", "a dog", photos, "--model", model)
    assert done.code == exit_codes.SOME_SKIPPED
    assert f"1 image left out: {photos}/bad.jpg: " in done.err


def test_duplicates_are_groups(run: Run, photos: Path, model: str) -> None:
    shutil.copy(photos / "a.jpg", photos / "z.jpg")
    shutil.copy(photos / "b.png", photos / "y.png")
    done = run("find", "--duplicates", photos, "--model", model, "--html", "page.html")
    groups = [group.splitlines() for group in done.out.split("\n\n")]
    assert groups == [[f"{photos}/a.jpg", f"{photos}/z.jpg"], [f"{photos}/b.png", f"{photos}/y.png"]]
    assert "4 of 8 images are alike, in 2 groups; 2 are copies of another to the byte." in done.err
    page = Path("page.html").read_text()
    assert "Photos that are there twice" in page
    assert f"bytes; a copy of {photos}/a.jpg" in page
    as_json = run("find", "--duplicates", photos, "--model", model, "--json").out
    lines = [json.loads(line) for line in as_json.splitlines()]
    assert [(line["group"], line["best"]) for line in lines] == [(1, True), (1, False), (2, True), (2, False)]
    assert [line["copy_of"] for line in lines] == [None, f"{photos}/a.jpg", None, f"{photos}/b.png"]
    (photos / "z.jpg").unlink()
    (photos / "y.png").unlink()
    assert "None of 6 images is there twice.\n" in run("find", "--duplicates", photos, "--model", model).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to look for; give a text, as in 'a dog on a beach', or --like a photo"),
        (("dog", "--json", "--null"), "--json prints lines, and --null ends paths without one; drop one of them"),
        (("--duplicates", "--null"), "--null has no way to tell groups apart; give --json with --duplicates"),
        (("dog", "--html", "f.txt"), "--html f.txt does not end in .html, and is a page; give --html f.html"),
        (("dog", "--top", "0"), "--top 0 does not fit; give 1 or more"),
        (("dog", "--min-score", "2"), "--min-score 2.0 does not fit; give from -1 to 1"),
        (("dog", "--html", "no/page.html"), "no folder no to write page.html in; make it first"),
    ],
)
def test_mistakes_are_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    done = run("find", *arguments)
    assert (done.code, done.out, done.err) == (exit_codes.WRONG_USAGE, "", f"clipcli: {message}\n")


def test_the_cache_tells_of_indexes_and_clears_them(run: Run, photos: Path, model: str) -> None:
    run("find", "a dog", photos, "--model", model)
    assert "indexes of folders" in run("cache").out
    assert "removed 1 indexes of folders from " in run("cache", "clear").out
    assert "indexes of folders" not in run("cache").out
