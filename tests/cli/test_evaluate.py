"""`clipcli evaluate`: tables on stdout, words on stderr, files and a report that nothing in a name can harm."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Run

HOSTILE = "<img src=x onerror=alert(1)>.jpg"
FIGURE = r"\d+\.\d% \[\d+\.\d, \d+\.\d\]"


@pytest.fixture
def evaluate(run: Run) -> Run:
    """Run the command in a folder of its own."""
    return lambda *arguments: run("evaluate", *arguments, "--device", "cpu", "--precision", "fp32")


def photograph(folder: Path, *, names: tuple[str, ...] = ("0.png", "1.png", "2.png"), seed: int = 0) -> None:
    """Noise under these names."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / name)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three classes, one of them called like a tag and with a file called like another."""
    for n, label in enumerate(("<script>", "cat", "red_fox")):
        photograph(tmp_path / "val" / label, names=("0.png", "1.png", HOSTILE), seed=n)
    return tmp_path / "val"


class _Tags(HTMLParser):
    """The tags of a page with their attributes, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.usefixtures("tree")
def test_the_table_is_data_and_the_words_are_not(evaluate: Run, model: str) -> None:
    done = evaluate("val", "--model", model, "--prompts", "plain", "-o", "out")
    assert done.code == 0
    [runs, classes] = done.out.split("\n\n")
    assert runs.splitlines()[0].split() == ["images", "top-1", "top-5", "mean", "recall", "ECE", "NLL"]
    assert re.match(rf"plain +9 +{FIGURE} +– +{FIGURE} +{FIGURE} +\d\.\d+ \[\d\.\d+, \d\.\d+\]", runs.splitlines()[1])
    assert classes.splitlines()[0].split() == ["class", "precision", "recall", "F1", "images"]
    assert [line.split("  ")[0] for line in classes.splitlines()[1:]] == ["<script>", "cat", "red_fox"]
    assert "top-5 is left out: there are only 3 classes" in done.err
    assert "look at out/report.html" in done.err
    assert {path.name for path in Path("out").iterdir()} == {
        *("report.html", "metrics.json", "confusion.csv", "predictions.csv"),
    }
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["top5"] is None
    assert metrics["intervals"]["top1"][0] <= metrics["top1"] <= metrics["intervals"]["top1"][1]


@pytest.mark.usefixtures("tree")
def test_names_are_text_in_the_report(evaluate: Run, model: str) -> None:
    assert evaluate("val", "--model", model, "--prompts", "plain,name", "-o", "out", "-q").err == ""
    page = _Tags()
    page.feed(Path("out/report.html").read_text(encoding="utf-8"))
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}]
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert pictures
    assert all(str(one["src"]).startswith("data:image/jpeg;base64,") for one in pictures)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    links = [a[name] for _, a in page.tags for name in ("href", "src") if name in a]
    assert all(str(link).startswith(("data:", "#")) for link in links)
    said = " ".join(page.texts)
    assert HOSTILE in said
    assert "<script>" in said
    assert all(words in said for words in ("Confusion and calibration", "Mistakes by pair of classes", "All runs"))
    assert "the classes and the pictures are those of the first of 2 runs" in said
    assert "Chance alone makes gaps" in said


def test_bad_images_are_left_out_and_told_of(evaluate: Run, tree: Path, model: str) -> None:
    (tree / "cat" / "bad.jpg").write_text("no image")
    done = evaluate("val", "--model", model, "--prompts", "plain", "--output", "out")
    assert done.code == 3
    assert "1 image left out: val/cat/bad.jpg: not an image" in done.err
    assert "val/cat/bad.jpg,cat,,,,,,,,not an image\n" in Path("out/predictions.csv").read_text()


@pytest.mark.usefixtures("tree")
def test_several_at_once(evaluate: Run, models: dict[str, Path]) -> None:
    for n, label in enumerate(("<script>", "cat", "red_fox")):
        photograph(Path("sketches") / label, seed=n + 9)
    names = f"{models['vit']},{models['resnet']}"
    done = evaluate(
        *("--data", "photos=val", "--data", "sketches=sketches", "--model", names, "--prompts", "plain"),
        *("--linear-probe", "val", "--shots", "1,full", "--seeds", 2),
    )
    assert done.code == 0
    [runs, differences] = done.out.split("\n\n")
    assert len(runs.splitlines()) == 1 + 4 + 8
    assert f"photos, {models['vit']}" in runs
    assert re.search(r"linear probe, 1 a class +\d+\.\d% ± \d+\.\d ", runs)
    assert re.search(rf"linear probe, all images +{FIGURE} ", runs)
    assert "paired by name, 6 images" in differences
    assert "paired, 9 images" in differences


def test_retrieval(evaluate: Run, model: str, tmp_path: Path) -> None:
    photograph(tmp_path / "captioned")
    for n in range(3):
        (tmp_path / "captioned" / f"{n}.txt").write_text("one\ntwo\n" if n else "three\n")
    done = evaluate("captioned", "--model", model, "-o", "out")
    assert done.code == 0
    assert done.out.splitlines()[0].split("  ")[-1].strip() == "text → image R@10"
    page = Path("out/report.html").read_text()
    assert "Images farthest from their captions" in page
    assert "“three”" in page
    assert page.count('<dl class="numbers">') == 2
    assert all(f"<h2>{way}</h2>" in page for way in ("Image → text", "Text → image"))
    assert json.loads(Path("out/metrics.json").read_text())["captions"] == 5


@pytest.mark.usefixtures("tree")
def test_compare_and_overwrite(evaluate: Run, model: str) -> None:
    given = ("val", "--model", model, "--prompts", "plain", "-o", "out")
    assert evaluate(*given).code == 0
    done = evaluate(*given, "--compare", "out/predictions.csv")
    assert (done.code, done.err) == (
        2,
        "clipcli: out/predictions.csv exists; give another --output, or --overwrite to replace it\n",
    )
    other = (*given[:-1], "other")
    done = evaluate(*other, "--compare", "out/predictions.csv")
    assert "plain  out/predictions.csv  top-1   +0.0 points [+0.0, +0.0]  paired, 9 images" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no DATA was given; give a folder per class, a .csv of images and labels, or a .tar"),
        (["none"], "no such data: none; check the path"),
        (["x=val"], "no such data: x=val; check the path"),
        (["val", "--prompts", "plain,a {}."], "the template in the list 'plain,a {}.' cannot be told from the others;"),
        (["val", "--seeds", "2"], "--seeds are for the --shots of a linear probe; give both, as in --shots 1,4,16"),
        (
            ["val", "--labels", "two.txt"],
            "val: no label fits folder '<script>'; rename it to labels, as in 'cat', 'red",
        ),
        (["val", "--labels", "many.txt"], "val: no image of class 'zebu', and expected is at least one of each of the"),
        (["one"], "one: one class only, 'cat'; expected images of at least two classes: give a folder per class"),
        (["empty"], "empty: no image of class 'dog', and expected is at least one of each of the 2 classes"),
        (["t.csv"], "t.csv: no label column ('truth', 'label', 'class', 'class_name', 'category', 'target') among its"),
        (["val", "--shots", "x", "--linear-probe", "val"], "--shots x: 'x' is not a number of images"),
        (["val", "--data", "val=one"], "two DATA are called 'val'; give each a name of its own"),
        (
            ["--data", "a=val", "--data", "b=one"],
            "val and one do not have the same classes: only one of them has '<scri",
        ),
        (["val", "--model", "tinny"], "unknown model 'tinny'; did you mean tiny"),
        (["val", "--prompts", "plian"], "unknown prompt set 'plian'; did you mean plain"),
        (["val", "--linear-probe", "val", "--shots", "3"], "val: class '<script>' has 3 images, and expected are 4"),
    ],
)
@pytest.mark.usefixtures("tree")
def test_mistakes_are_one_line(evaluate: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    photograph(tmp_path / "one" / "cat")
    photograph(tmp_path / "empty" / "cat")
    (tmp_path / "empty" / "dog").mkdir()
    (tmp_path / "two.txt").write_text("cat\nred fox\n")
    (tmp_path / "many.txt").write_text("cat\nred fox\n<script>\nzebu\n")
    (tmp_path / "t.csv").write_text("image,size\nval/cat/0.png,3\n")
    done = evaluate(*arguments, *([] if "--model" in arguments else ["--model", "tiny"]))
    assert (done.code, done.out) == (2, "")
    # What is done to names is said before a model is looked for.
    notes, _, error = done.err.rpartition("clipcli: ")
    assert error.startswith(message)
    assert error.count("\n") == 1
    assert re.fullmatch(r"(1 name was turned into words, 'red_fox' into 'red fox': .*\n)?", notes)


@pytest.mark.usefixtures("tree")
def test_classes_without_images_can_be_allowed(evaluate: Run, model: str, tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("cat\nred fox\n<script>\nzebu\ngnu\n")
    done = evaluate("val", "--labels", "many.txt", "--allow-empty", "--model", model, "--prompts", "plain")
    assert done.code == 0
    assert re.search(r"^zebu .* 0$", done.out, flags=re.MULTILINE)
    assert "top-5 is left out: there are only 5 classes" in done.err
