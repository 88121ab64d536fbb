"""`classify --report`: a page beside the rows, which are what they are without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.commands.classify.album import Album

from .conftest import Run

LABELS = ("--labels", "l.txt", "--top-k", 2)


@pytest.fixture(autouse=True)
def labels(tmp_path: Path) -> None:
    """A file of labels."""
    (tmp_path / "l.txt").write_text("cat\ndog\nbeach\n")


def test_the_rows_are_the_same_with_a_page(run: Run, photos: Path, model: str, tmp_path: Path) -> None:
    plain = run("classify", photos, *LABELS, "--model", model, "-o", "plain.csv")
    done = run("classify", photos, *LABELS, "--model", model, "-o", "out.csv", "--report", "out.html")
    assert (plain.code, done.code) == (0, 0)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    html = (tmp_path / "out.html").read_text()
    assert html.count("<img ") == 6
    assert f"Labels by {model}, prompts imagenet." in html
    assert "out.html: a page of the photos to look through in a browser." in done.err.splitlines()


def test_a_page_of_fewer_photos(run: Run, photos: Path, model: str, tmp_path: Path) -> None:
    run("classify", photos, *LABELS, "--model", model, "--report", "out.html", "--report-images", 2)
    assert (tmp_path / "out.html").read_text().count("<img ") == 2


def test_a_complete_output_gets_its_page_by_resume(run: Run, photos: Path, model: str, tmp_path: Path) -> None:
    run("classify", photos, *LABELS, "--model", model, "-o", "out.csv")
    before = (tmp_path / "out.csv").read_bytes()
    run("classify", photos, *LABELS, "--model", model, "-o", "out.csv", "--resume", "--report", "out.html")
    assert (tmp_path / "out.html").read_text().count("<img ") == 6
    assert (tmp_path / "out.csv").read_bytes() == before


def test_an_interrupted_page_leaves_the_rows_and_is_told_of(
    run: Run, photos: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Album) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Album, "write", interrupt)
    done = run("classify", photos, *LABELS, "--model", model, "-o", "out.csv", "--report", "out.html")
    assert done.code == 130
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 7
    assert not (tmp_path / "out.html").exists()
    assert done.err.splitlines()[-1] == "out.html: not written; --resume writes it."


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("there.html", "there.html exists; give another --report, or --overwrite to replace it"),
        ("page", "--report page does not end in .html, and is a page; give --report page.html"),
        ("no/page.html", "no folder no to write page.html in; make it first"),
        ("labels.html", "--report labels.html is read by this command, and would be written over; give another"),
        ("out.csv", "--report out.csv is the --output as well; give another"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_at_once(
    run: Run, photos: Path, tmp_path: Path, report: str, message: str
) -> None:
    (tmp_path / "there.html").write_text("mine")
    (tmp_path / "labels.html").symlink_to("l.txt")
    done = run("classify", photos, *LABELS, "-o", "out.csv", "--report", report)
    assert (done.code, done.err.splitlines()[-1]) == (2, f"clipcli: {message}")
    assert not (tmp_path / "out.csv").exists()
    assert (tmp_path / "there.html").read_text() == "mine"


def test_a_page_that_was_not_made_is_not_announced(run: Run, photos: Path, model: str, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("clipcli.cli.classify.write_rows", lambda *_, **__: (_ for _ in ()).throw(BrokenPipeError))
    done = run("classify", photos, *LABELS, "--model", model, "-o", "-", "--report", "out.html")
    assert done.err.splitlines()[-1] == "out.html: not written; the run was stopped."
    assert not Path("out.html").exists()


def test_resume_replaces_a_page_and_no_other_file(run: Run, photos: Path, model: str) -> None:
    given = ("classify", photos, *LABELS, "--model", model, "-o", "out.csv", "--report", "out.html")
    assert run(*given).code == 0
    assert run(*given, "--resume").code == 0
    Path("out.html").write_text("<p>My notes.</p>")
    refused = run(*given, "--resume")
    assert (refused.code, Path("out.html").read_text()) == (2, "<p>My notes.</p>")
    assert "out.html exists; give another --report" in refused.err


def test_corrections_are_kept_when_rows_are_made_anew(run: Run, photos: Path, model: str) -> None:
    given = ("classify", photos, *LABELS, "--model", model, "-o", "out.csv", "--overwrite")
    assert run(*given).code == 0
    assert not Path("out.csv.bak").exists()
    assert run(*given).code == 0
    assert not Path("out.csv.bak").exists()
    for name in ("out.csv.bak", "out.csv.bak1"):
        corrected = Path("out.csv").read_text().replace("cat", "tiger").replace("dog", "wolf")
        Path("out.csv").write_text(corrected)
        done = run(*given)
        assert f"out.csv was changed since it was written, as by hand; it is kept as {name}" in done.err
        assert Path(name).read_text() == corrected


def test_a_page_of_a_part_says_so(run: Run, photos: Path, model: str) -> None:
    done = run(
        "classify", photos, *LABELS, "--model", model, "-o", "out.csv", "--report", "out.html", "--max-images", "2"
    )
    [said] = [line.strip() for line in done.err.splitlines() if "left out" in line]
    assert said in Path("out.html").read_text()
