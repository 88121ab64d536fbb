"""`clipcli classify --refine` says what it came to, and does not go on with other rows."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from clipcli.cli.classify_summary import Summary
from clipcli.cli.display import Display
from clipcli.events import ImagesGathered, InputsFound, Refined, RowsReady
from clipcli.records import Row

from .conftest import Run


def test_the_summary_of_a_few_images_says_why_they_are_as_they_were(run: Run, photos: Path, model: str) -> None:
    done = run("classify", photos, "--labels", "cat,dog", "--model", model, "--refine", "-o", "rows.csv")
    assert done.code == 0
    assert "not refined: 6 images are fewer than 200\n" in done.err
    assert "--refine --allow-empty" in done.err


@pytest.mark.parametrize(("changed", "said"), [(1, "1 label changed (0.4 %)"), (75, "75 labels changed (30.0 %)")])
def test_the_summary_counts_labels_that_changed(changed: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary("rows.csv")
    for event in (InputsFound(1), Refined(250, changed, None), RowsReady((Row("a.jpg", ("cat",), (0.5,)),))):
        summary.add(event)
    with Display(quiet=False, verbose=False) as display:
        summary.show(display)
    assert f"refined on 250 images: {said}\n" in capsys.readouterr().err


def test_the_bar_says_that_rows_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display(quiet=False, verbose=False)
    display.live = True
    screen = StringIO()
    display.console = display._bars.live.console = Console(file=screen, width=100)
    monkeypatch.setattr(display._view, "start", lambda: None)
    display.show(ImagesGathered(3, 8))
    display.console.print(display)
    assert screen.getvalue().startswith("Encoded ")
    assert "3/8" in screen.getvalue()
    assert "all before the first row" in screen.getvalue()


def test_it_does_not_go_on_with_rows(run: Run, photos: Path, model: str) -> None:
    done = run("classify", photos, "--labels", "cat,dog", "--model", model, "--refine", "--resume")
    assert done.code == 2
    assert "--refine labels all images together, so there is no rest to label; give --update, or" in done.err


def test_evaluate_notes_what_was_left_alone(run: Run, photos: Path, model: str) -> None:
    table = "path,label\n" + "".join(
        f"{photos / name},{label}\n" for name, label in (("a.jpg", "cat"), ("b.png", "dog"))
    )
    Path("data.csv").write_text(table)
    done = run("evaluate", "data.csv", "--model", model, "--refine")
    assert done.code == 0
    assert "imagenet: not refined: 2 images are fewer than 200" in done.err


def test_images_to_refine_on_that_cannot_be_read_end_with_code_3(run: Run, photos: Path, model: str) -> None:
    (photos / "broken.jpg").write_text("no image")
    done = run("build-classifier", "--labels", "cat, dog", "--model", model, "--refine-on", photos)
    assert done.code == 3
    assert "1 of the 7 images to refine on cannot be read, such as " in done.err
    assert "broken.jpg: " in done.err
    assert Path("classes.safetensors").exists()
