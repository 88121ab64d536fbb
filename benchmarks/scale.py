"""How time, memory and the cache grow with the number of images and of labels.

Labelling: whole processes of `classify --embeddings` with a classifier, both random, of 512 dimensions and said to
be of `tiny`, so that nothing is encoded. The cache: embeddings of files kept and found again, in this process.
A point of more than `MOST` images × labels is not measured, but that of fewer images scaled up, and marked by ~. Prints
Markdown tables, and draws both as a picture. It needs 3 GB of disk.
Run: python benchmarks/scale.py [--images N…] [--labels N…] [--files N…] [--picture FILE]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from memory import RUN
from numpy.typing import NDArray
from PIL import Image

from clipcli.memory.cache import Cache
from clipcli.memory.images import ImageStore
from clipcli.memory.memory import Memory
from clipcli.outputs.embeddings import Embeddings
from clipcli.records import ImageItem, ModelRecord, Reference, Remembered
from clipcli.report.svg import SERIES, svg_chart
from clipcli.scoring.classifier import Classifier

MOST = 2_000_000_000
DIMENSIONS, PART, LINKS = 512, 1024, 1000
Points = dict[int, float]


def unit(count: int) -> NDArray[np.float32]:
    """Random directions `[N, D]`."""
    found = np.random.default_rng(count).standard_normal((count, DIMENSIONS), dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


class Labelling:
    """Files of random embeddings and classes that are said to be of `tiny`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        Image.new("RGB", (32, 32)).save(root / "one.png")
        self._run("embed", "one.png", "--output", "one.npy")
        self._run("build-classifier", "--labels", "a, b", "--prompts", "name", "--output", "two.safetensors")

    def images(self, count: int) -> Path:
        """A file of the embeddings of so many images."""
        path = self._root / f"images-{count}.npy"
        if not path.exists():
            ids = tuple(f"photos/{n // 1000:04}/{n:07}.jpg" for n in range(count))
            replace(Embeddings.load(self._root / "one.npy"), ids=ids, embeddings=unit(count)).save(path)
        return path

    def labels(self, count: int) -> Path:
        """A classifier of so many labels."""
        path = self._root / f"labels-{count}.safetensors"
        names = tuple(f"label {n}" for n in range(count))
        replace(Classifier.load(self._root / "two.safetensors"), labels=names, class_embeddings=unit(count)).save(path)
        return path

    def measure(self, images: int, labels: int) -> tuple[float, float]:
        """Seconds and peak megabytes of labelling so many images."""
        command = ["classify", "--embeddings", self.images(images), "--classifier", self.labels(labels)]
        start = time.perf_counter()
        peak = self._run(*command, "--output", "out.csv", "--overwrite")
        return time.perf_counter() - start, peak

    def _run(self, *command: object) -> float:
        """Run a command, and return the peak of its memory in megabytes."""
        done = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, command), "--model", "tiny", "-q"],
            check=True,
            capture_output=True,
            text=True,
            cwd=self._root,
            env={**os.environ, "CLIPCLI_CACHE": str(self._root / "cache")},
        )
        found = re.findall(r"\d+", done.stdout)
        return int(found[-1]) / 1e3


def labelled(labelling: Labelling, images: Sequence[int], labels: Sequence[int]) -> dict[int, tuple[Points, Points]]:
    """Seconds and megabytes by the number of images, for each number of labels; a scaled number is negative."""
    found: dict[int, tuple[Points, Points]] = {}
    for many in labels:
        seconds, peaks = found.setdefault(many, ({}, {}))
        for count in images:
            if count * many <= MOST:
                seconds[count], peaks[count] = labelling.measure(count, many)
                continue
            (few, fewer), (more, less) = sorted(seconds.items())[0], sorted(seconds.items())[-1]
            each = (less - fewer) / (more - few)
            seconds[count] = -(less + each * (count - more))
        print(f"{many} labels: {seconds} {peaks}", file=sys.stderr, flush=True)
    return found


def stored(root: Path, count: int) -> tuple[float, float, float]:
    """Seconds to keep the embeddings of so many files, and to find them again, and megabytes of the cache."""
    folder = root / f"files-{count}"
    items = []
    for n in range(count):
        path = folder / f"{n // LINKS:04}" / f"{n:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Names of one file for each folder: file systems bound the names that a file may have.
        if n % LINKS == 0:
            path.write_bytes(b"x" * (n // LINKS + 9))
        else:
            os.link(path.parent / f"{n - n % LINKS:07}.jpg", path)
        items.append(ImageItem(str(path), Reference("file", str(path)), digest=n.to_bytes(16, "big")))
    file = root / f"cache-{count}"
    record = ModelRecord("model", "fingerprint", "preprocessing", "fp32", None)
    cache = Cache(file, limit=1 << 40)
    times: list[float] = []
    for _ in range(2):
        store = ImageStore(Memory(cache), record, made_with=(), verify=False)
        start, known, is_first = time.perf_counter(), 0, not times
        for part in (items[n : n + PART] for n in range(0, count, PART)):
            known += sum(isinstance(one, Remembered) for one in store.look_up(part))
            if is_first:
                store.keep(part, unit(len(part)))
        times.append(time.perf_counter() - start)
    assert known == count
    return times[0], times[1], sum(one.stat().st_size for one in root.glob(f"cache-{count}*")) / 1e6


def draw(found: Mapping[int, tuple[Points, Points]], picture: Path) -> None:
    """Seconds of labelling on two logarithmic axes, a line for each number of labels; scaled points are hollow."""

    def lines(axes: Axes) -> None:
        for (labels, (seconds, _)), colour in zip(found.items(), SERIES, strict=False):
            axes.plot(*zip(*((n, abs(s)) for n, s in seconds.items()), strict=True), color=colour, linewidth=1.5)
            for count, value in seconds.items():
                face = "none" if value < 0 else colour
                axes.plot(count, abs(value), "o", color=colour, markerfacecolor=face, markersize=5)
            last = max(seconds)
            place = (last, abs(seconds[last]))
            axes.annotate(f"{labels:,} labels", place, (6, -3), textcoords="offset points", color=colour, fontsize=10)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(x=0.2)

    spoken = "; ".join(f"{n:,} labels {abs(max(found[n][0].values(), key=abs)):.0f} seconds at most" for n in found)
    title = "Labelling images whose embeddings are known"
    drawn = svg_chart(lines, title=title, x_label="images", y_label="seconds", spoken=spoken, size=(7, 4))
    picture.write_text(drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print tables, and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 1_000, 20_000])
    parser.add_argument("--files", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = labelled(Labelling(Path(name)), given.images, given.labels)
    print("| labels | " + " | ".join(f"{count:,} images" for count in given.images) + " |")
    print("|---|" + "---|" * len(given.images))
    for labels, (seconds, peaks) in found.items():
        cells = [
            f"{seconds[n]:.2f} s, {peaks[n]:.0f} MB" if n in peaks else f"~{-seconds[n]:.0f} s" for n in given.images
        ]
        print(f"| {labels:,} | " + " | ".join(cells) + " |")
    print("\n| files | kept | found again | cache |\n|---|---|---|---|")
    for count in given.files:
        with tempfile.TemporaryDirectory() as name:
            kept, again, size = stored(Path(name), count)
        print(f"| {count:,} | {kept:.2f} s | {again:.2f} s | {size:.1f} MB |")
    if given.picture:
        draw(found, given.picture)


if __name__ == "__main__":
    main()
