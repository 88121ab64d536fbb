"""`clipcli tag`: a plan in words, and what was done, with how to bring it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipcli.actions import replace

from .conftest import Run

ROWS = "photos/a.jpg,dog,0.9,\nphotos/x.jpg,cat,0.8,\nphotos/y.jpg,dog,0.4,\n"


@pytest.fixture
def predictions(photos: Path) -> str:
    """An output about three photos: a sidecar of one is there already."""
    for name in ("x", "y"):
        (photos / f"{name}.jpg").write_bytes(b"not looked at")
    (photos / "x.xmp").write_text('<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>')
    Path("predictions.csv").write_text("path,label,score,error\n" + ROWS)
    return "predictions.csv"


@pytest.fixture(autouse=True)
def _in_folder(run: Run) -> None:
    """The command runs in the folder of the photos."""


def test_a_plan_a_run_and_the_way_back(run: Run, photos: Path) -> None:
    del photos
    Path("predictions.csv").write_text("path,label,score,error\nphotos/a.jpg,dog,0.9,\nphotos/d.jpg,cat,0.8,\n")
    plan = run("tag", "predictions.csv")
    assert (plan.code, plan.out) == (0, "")
    assert plan.err == "Plan for sidecars: 2 new.\nLabels: dog 1, cat 1.\nNothing was written yet; --apply does it.\n"
    done = run("tag", "predictions.csv", "--apply")
    [journal] = Path().glob("clipcli-journal-*.jsonl")
    assert (done.code, done.out) == (0, "")
    assert done.err == (f"Sidecars: 2 written.\nLabels: dog 1, cat 1.\nTo bring all back: clipcli undo {journal}\n")
    again = run("tag", "predictions.csv", "--apply")
    assert again.err == "Sidecars: 2 unchanged.\nLabels: dog 1, cat 1.\n"
    undone = run("undo", journal)
    assert undone.err == "Undone: 2 new files removed.\n"


def test_the_list_is_data(run: Run, predictions: str) -> None:
    done = run("tag", predictions, "--list", "--min-score", 0.5, "--sidecars", "full")
    assert done.code == 0
    assert done.out == "new\tphotos/a.jpg.xmp\tdog\nnew\tphotos/x.jpg.xmp\tcat\n"
    assert done.err.startswith("1 photo has no label with such a score, photos/y.jpg: no keyword is written\n")
    done = run("tag", predictions, "--apply", "--quiet", "--list")
    assert (done.out.splitlines()[1], done.err) == ("changed\tphotos/x.xmp\tcat", "")
    done = run("tag", predictions, "--untag", "--apply")
    assert done.err.startswith("Sidecars: 1 changed, 2 removed.\nTo bring all back: ")
    assert run("tag", predictions, "--untag").err == "Plan for sidecars: 1 unchanged.\n"


def test_what_is_left_is_told_with_exit_code_3(run: Run, predictions: str) -> None:
    Path("photos/x.xmp").write_text("<a>")
    done = run("tag", predictions, "--apply")
    assert done.code == 3
    assert "Left as it is: photos/x.xmp: broken XML: no element found, line 1.\n" in done.err
    assert "Sidecars: 2 written.\n" in done.err
    Path("photos/a.jpg").unlink()
    done = run("tag", predictions)
    assert done.code == 3
    assert "clipcli: 1 image has vanished since it was labelled, photos/a.jpg: left out; " in done.err


def test_a_stop_says_how_to_go_on(run: Run, predictions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = replace.write_file

    def stopped(data: bytes, target: str, *, part: str) -> None:
        if target.endswith("y.jpg.xmp"):
            raise KeyboardInterrupt
        write(data, target, part=part)

    with monkeypatch.context() as patched:
        patched.setattr(replace, "write_file", stopped)
        done = run("tag", predictions, "--apply")
    assert done.code == 130
    assert done.err == (
        "Stopped. The same command goes on; clipcli undo with the journal beside predictions.csv brings back what was"
        " done.\n"
    )
    assert "Sidecars: 1 written, 2 unchanged.\n" in run("tag", predictions, "--apply").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no PREDICTIONS were given; give the output of clipcli classify"),
        (["no.csv"], "cannot read no.csv: No such file or directory; check the path"),
        (["photos/x.xmp"], "photos/x.xmp has the columns "),
        (["predictions.csv", "--untag", "--min-score", "0.5"], "--untag takes out all that was written before, "),
        (["predictions.csv", "--top-k", "0"], "--top-k 0 does not fit; give 1 or more"),
    ],
)
@pytest.mark.usefixtures("predictions")
def test_mistakes_are_one_line(run: Run, arguments: list[str], message: str) -> None:
    done = run("tag", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"clipcli: {message}")
