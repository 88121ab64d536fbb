"""What `clipcli train` makes of 1, 4 and 16 photos a class by its defaults, beside a linear probe and `clipcli adapt`.

Top-1 on the validation photos. All are given the same training photos. The probe is scikit-learn's logistic regression
on the image embeddings, at the C of 1, 10, 100 or 1,000 that is best on the validation photos themselves. The last
column is the top-1 on the validation photos of the other data set, which `clipcli train` was given nothing of.
Run: python benchmarks/few_shot.py DATA [MODEL] [SHOTS…], where DATA has clothing.zip and caltech101.zip
"""

import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

import clipcli
from clipcli.loaded import LoadedModel
from clipcli.scoring.adapt import adapted
from clipcli.scoring.classifier import Classifier

SETS = {"clothing.zip": "validation", "caltech101.zip": "val"}
SHOTS = (1, 4, 16)
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Photos:
    """Photos in a folder per class: their embeddings `[N, D]`, and the number of the class of each."""

    embeddings: NDArray[np.float32]
    truth: NDArray[np.intp]


def unpacked(archive: Path, folder: Path, *, shots: int | None) -> Path:
    """A part of a zip file in a folder, with so many photos of each class, or all."""
    with zipfile.ZipFile(archive) as file:
        taken: dict[str, int] = {}
        for name in sorted(file.namelist()):
            label = name.rpartition("/")[0]
            wanted = name.startswith("train/" if shots else f"{SETS[archive.name]}/") and not name.endswith("/")
            if wanted and taken.get(label, 0) < (shots or sys.maxsize):
                taken[label] = taken.get(label, 0) + 1
                file.extract(name, folder)
    return folder / ("train" if shots else SETS[archive.name])


def photos(folder: Path, *, model: LoadedModel, labels: list[str]) -> Photos:
    """The embeddings of the photos in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    truth = np.array([labels.index(path.parent.name) for path in paths], dtype=np.intp)
    return Photos(model.embed_images([str(path) for path in paths]), truth)


def classifier_of(labels: list[str], model: Path | str) -> Classifier:
    """The classifier of the names of folders, in words."""
    named: dict[str, list[str]] = {label.replace("_", " ").replace("-", " "): [] for label in labels}
    return clipcli.build_classifier(named, model=str(model))


def right(logits: NDArray[np.floating], truth: NDArray[np.intp]) -> float:
    """The share of rows whose highest value is at the right place, in percent."""
    return 100 * float((logits.argmax(axis=1) == truth).mean())


def probe(train: Photos, validation: Photos) -> float:
    """The best of the probes."""
    fits = [LogisticRegression(C=c, max_iter=1000).fit(train.embeddings, train.truth) for c in STRENGTHS]
    return max(100 * float(fit.score(validation.embeddings, validation.truth)) for fit in fits)


def main(data: Path, model: str, shots: list[int]) -> None:
    """Print a row for each data set and number of photos."""
    loaded = clipcli.load(model)
    print("| photos | a class | zero-shot | probe | `adapt` | `train` | the other data, before and after |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folders = {key: unpacked(data / key, root / key, shots=None) for key in SETS}
        labels = {key: sorted(path.name for path in folder.iterdir()) for key, folder in folders.items()}
        held = {key: photos(folder, model=loaded, labels=labels[key]) for key, folder in folders.items()}
        texts = {key: classifier_of(labels[key], model) for key in SETS}
        before = {key: right(held[key].embeddings @ texts[key].class_embeddings.T, held[key].truth) for key in SETS}
        for key, other in zip(SETS, reversed(SETS), strict=True):
            for count in shots:
                folder = unpacked(data / key, root / f"{key}-{count}", shots=count)
                train = photos(folder, model=loaded, labels=labels[key])
                fitted, _ = adapted(train.embeddings, train.truth, texts[key])
                run = clipcli.train(folder, model=model, output=root / f"run-{key}-{count}").folder
                tuned = clipcli.load(str(run))
                after = {}
                for which in SETS:
                    again = photos(folders[which], model=tuned, labels=labels[which])
                    logits = again.embeddings @ classifier_of(labels[which], run).class_embeddings.T
                    after[which] = right(logits, again.truth)
                columns = [
                    before[key],
                    probe(train, held[key]),
                    right(fitted.logits(held[key].embeddings.astype(np.float64)), held[key].truth),
                ]
                columns += [after[key]]
                cells = [f"{value:.1f} %" for value in columns]
                cells += [f"{before[other]:.1f} % → {after[other]:.1f} %"]
                print(f"| `{key}` | {count} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    given = sys.argv[2:]
    main(Path(sys.argv[1]), given[0] if given else "tiny", [int(one) for one in given[1:]] or list(SHOTS))
