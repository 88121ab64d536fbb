"""The figures of the model card, in Markdown: what `clipcli evaluate` measures on data that was not trained on.

The photos are those of `photos-labels.csv` whose labels are classes of Tiny-ImageNet, and these labels are the choice;
the other labels the model has no way to know. Run: python figures.py MODEL DATA
"""

import csv
import io
import sys
import tempfile
import textwrap
import zipfile
from pathlib import Path

import clipcli
from clipcli.commands.evaluate.results import Evaluation, Run, count_images
from clipcli.commands.evaluate.tables import format_with_interval

# Found by eye beside their nearest images: these photos are in Tiny-ImageNet's `train`, at 64 pixels.
TRAINED_ON = {"abacus", "barn", "convertible", "space heater", "spider web", "stopwatch"}


def main() -> None:
    """Print a table of the figures, and what the photos were taken for."""
    model, data = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        known = known_photos(data, Path(folder))
        photos = None if known is None else evaluate(known, model)
    print("| data | images | figure | |", "| --- | --- | --- | --- |", sep="\n")
    for name, metric, spoken in (
        ("tiny-imagenet.zip/val", "top1", "top-1 of 200 classes"),
        ("clothing.zip/validation", "top1", "top-1 of 10 classes"),
        ("flickr8k.zip/dev", "image_to_text_recall@10", "recall@10, image→text"),
    ):
        print(row(name, spoken, metric, evaluate(data / name, model)))
    if photos is not None:
        print(row("photos", f"top-1 of {len(photos.labels)} classes", "top1", photos))
        print("", textwrap.fill(told(photos), 120), sep="\n")


def evaluate(data: Path, model: str) -> Evaluation:
    """In fp32, so that the figures are the same everywhere, or nearly."""
    return clipcli.evaluate(data, model=model, precision="fp32", device="cpu")


def known_photos(data: Path, folder: Path) -> Path | None:
    """A table of the photos whose labels are classes of Tiny-ImageNet, where there are photos."""
    if not (data / "photos-labels.csv").exists():
        return None
    with zipfile.ZipFile(data / "tiny-imagenet.zip") as zipped, zipped.open("classes.csv") as file:
        known = {one["name"] for one in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8"))}
    with open(data / "photos-labels.csv", encoding="utf-8", newline="") as file:
        photos = [(data / one["path"], one["label"]) for one in csv.DictReader(file) if one["label"] in known]
    table = folder / "photos.csv"
    with open(table, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *photos])
    return table


def row(name: str, spoken: str, metric: str, evaluation: Evaluation) -> str:
    """One figure with its interval."""
    [run] = evaluation.runs
    return f"| `{name}` | {count_images(run):,} | {spoken} | {format_with_interval(metric, run.metrics[metric])} |"


def told(photos: Evaluation) -> str:
    """How many are right, apart those that were trained on; and the others with what they were taken for."""
    [run] = photos.runs
    assert isinstance(run, Run)
    predictions = zip(run.predictions.truth, run.predictions.best[:, 0], strict=True)
    pairs = [(photos.labels[truth], photos.labels[best]) for truth, best in predictions]
    right = {truth for truth, best in pairs if truth == best}
    return (
        f"Of the {len(pairs)} photos {len(right)} are right; of the {len(pairs) - len(TRAINED_ON)} that are not "
        f"in `train`, {len(right - TRAINED_ON)}. The others, with what they were taken for: "
        f"{'; '.join(f'{truth} ({best})' for truth, best in pairs if truth != best)}."
    )


if __name__ == "__main__":
    main()
