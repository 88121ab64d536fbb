"""The figures of the model card, in Markdown: what `clipcli evaluate` measures on data that was not trained on.

Run: python figures.py MODEL DATA SOURCES
"""

import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import sources
from collect import imagenet_synsets
from wordnet import WordNet

import clipcli
from clipcli.commands.evaluate.results import Evaluation, Run, count_images
from clipcli.commands.evaluate.tables import format_with_interval

WORDS = Path(__file__).parent / "everyday-words.txt"
# Where images for the everyday words are looked for.
POOL = ("photos", "caltech101.zip/val", "clothing.zip/validation", "tiny-imagenet.zip/val")


def main() -> None:
    """Print a table of the figures, what the photos were taken for, and the photos nearest to everyday words."""
    model, data, source = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    photos = data / "photos-labels.csv"
    among_own = evaluate(photos, model)
    print("| data | images | figure | |", "| --- | --- | --- | --- |", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labels.txt"
        names = imagenet_names(source)
        labels.write_text("\n".join(names))
        among_all = evaluate(photos, model, labels=labels)
    print(row("photos", f"top-1 of all {len(names)} names of ImageNet's classes", "top1", among_all))
    print(row("photos-labels.csv", "top-1 of their own 64 labels", "top1", among_own))
    for name, classes in (("caltech101.zip/val", 101), ("clothing.zip/validation", 10), ("tiny-imagenet.zip/val", 200)):
        print(row(name, f"top-1 of {classes} classes", "top1", evaluate(data / name, model)))
    captions = evaluate(data / "flickr8k.zip" / "dev", model)
    print(row("flickr8k.zip/dev", "recall@10, image→text", "image_to_text_recall@10", captions))
    print(row("flickr8k.zip/dev", "recall@10, text→image", "text_to_image_recall@10", captions))
    print("", textwrap.fill(told(among_own), 120), "", sep="\n")
    print("| word | two nearest photos |", "| --- | --- |", *nearest(model, data), sep="\n")


def evaluate(data: Path, model: str, *, labels: Path | None = None) -> Evaluation:
    """In fp32, so that the figures are the same everywhere, or nearly."""
    # Not every class of the labels has a photo.
    return clipcli.evaluate(
        data, model=model, labels=labels, allow_empty=labels is not None, precision="fp32", device="cpu"
    )


def imagenet_names(source: Path) -> list[str]:
    """WordNet's first names of ImageNet's 1,000 classes, as the photos are named; some classes share one."""
    wordnet = WordNet(sources.wordnet(source))
    return list(dict.fromkeys(wordnet.synsets[synset].nouns[0] for synset in imagenet_synsets()))


def row(name: str, spoken: str, metric: str, evaluation: Evaluation) -> str:
    """One figure with its interval."""
    [run] = evaluation.runs
    return f"| `{name}` | {count_images(run):,} | {spoken} | {format_with_interval(metric, run.metrics[metric])} |"


def told(photos: Evaluation) -> str:
    """How many are right; and the others with what they were taken for."""
    [run] = photos.runs
    assert isinstance(run, Run)
    predictions = zip(run.predictions.truth, run.predictions.best[:, 0], strict=True)
    pairs = [(photos.labels[truth], photos.labels[best]) for truth, best in predictions]
    wrong = [f"{truth} ({best})" for truth, best in pairs if truth != best]
    return (
        f"Of the {len(pairs)} photos {len(pairs) - len(wrong)} are right among their own labels. "
        f"The others, with what they were taken for: {'; '.join(wrong)}."
    )


def nearest(model: str, data: Path) -> Iterator[str]:
    """For each everyday word the names of the two photos that are nearest to it, as rows of a table."""
    words = WORDS.read_text(encoding="utf-8").split()
    rows = clipcli.classify(
        [data / part for part in POOL], labels=words, model=model, score="cosine", top_k=len(words), precision="fp32"
    )
    found: dict[str, list[tuple[float, str]]] = {word: [] for word in words}
    for one in rows:
        path = Path(one.path)
        name = path.stem if path.parent.name == "photos" else path.parent.name
        for word, score in zip(one.labels, one.scores, strict=True):
            found[word].append((score, name))
    for word, scored in found.items():
        best, second = sorted(scored, reverse=True)[:2]
        yield f"| {word} | {best[1]}, {second[1]} |"


if __name__ == "__main__":
    main()
