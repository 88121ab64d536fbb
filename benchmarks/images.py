"""How fast photos are labelled: whole processes of clipcli and of what a user would pick instead, in turn.

ViT-B-32 with the same random weights for all, one template. Photos of about 500×375 pixels, and the same enlarged to 12
megapixels; 10 and 1,000 labels. The pipeline encodes all labels again for every batch; where that takes too long it
gets fewer photos, and its time is scaled up, but for what it takes for the first one. CLIP_benchmark joins where it is
installed: it counts right labels of shards, in place of writing labels.
Run: python benchmarks/images.py PHOTOS [--copies N] [--runs N] [--case N]
"""

import argparse
import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from load import apart, save_random
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from peers import TEMPLATE, save_for_transformers
from PIL import Image
from side_by_side import RUNS

HERE = Path(__file__).parent
MEGAPIXELS = 12e6


def copies(photos: list[Path], folder: Path, *, count: int, megapixels: float | None = None) -> Path:
    """So many photos in a folder, each under several names; enlarged if need be."""
    folder.mkdir()
    for number in range(count):
        source, target = photos[number % len(photos)], folder / f"{number:05}.jpg"
        if number >= len(photos):
            os.link(folder / f"{number % len(photos):05}.jpg", target)
        elif megapixels is None:
            target.write_bytes(source.read_bytes())
        else:
            image = Image.open(source).convert("RGB")
            factor = (megapixels / (image.width * image.height)) ** 0.5
            size = (round(image.width * factor), round(image.height * factor))
            image.resize(size, Image.Resampling.LANCZOS).save(target, quality=92)
    return folder


class Bench:
    """A folder of models, photos and labels to measure with."""

    def __init__(self, root: Path, photos: list[Path]) -> None:
        self.root, self.photos = root, photos
        self.model, self.theirs = root / "model", root / "transformers"
        self.model.mkdir()
        self.theirs.mkdir()
        save_random("ViT-B-32", self.model)
        save_for_transformers(self.model, self.theirs)
        self.environment = apart(root) | {"TOKENIZERS_PARALLELISM": "false"}

    def labels(self, count: int) -> Path:
        """A file of so many labels."""
        path = self.root / f"labels-{count}.txt"
        path.write_text("".join(f"{name}\n" for name in IMAGENET_CLASSNAMES[:count]))
        return path

    def ours(self, folder: Path, labels: int, *flags: str, cache: bool = False) -> float:
        """Seconds of one run of clipcli, without its cache unless it is wanted."""
        output = self.root / "labels.csv"
        command = ["-m", "clipcli", "classify", str(folder), "--labels", str(self.labels(labels))]
        command += [] if cache else ["--no-cache"]
        command += ["--model", str(self.model), "--prompts", TEMPLATE, "-q", "--overwrite", "-o", str(output), *flags]
        return self._seconds(command)

    def peer(self, name: str, folder: Path, labels: int, batch_size: int) -> float:
        """Seconds of one run of another program."""
        model = self.theirs if name == "pipeline" else self.model
        command = [str(HERE / "peers.py"), name, str(model), str(folder), str(self.labels(labels)), str(batch_size)]
        return self._seconds(command)

    def clip_benchmark(self, folder: Path, labels: int) -> float:
        """Seconds of one run of CLIP_benchmark on the same photos in shards, one for each of its workers."""
        shards = self.root / f"shards-{folder.name}-{labels}"
        if not shards.is_dir():
            _save_shards(folder, shards, self.labels(labels), count=os.cpu_count() or 1)
        weights = self.model / "open_clip_model.safetensors"
        command = ["-m", "clip_benchmark.cli", "eval", "--dataset", "wds/photos", "--dataset_root", str(shards)]
        command += ["--model", "ViT-B-32", "--pretrained", str(weights), "--num_workers", str(os.cpu_count() or 1)]
        command += ["--task", "zeroshot_classification", "--batch_size", "32", "--output", str(self.root / "out.json")]
        return self._seconds(command)

    def _seconds(self, command: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True, env=self.environment)
        return time.perf_counter() - start


@dataclass(frozen=True)
class Case:
    """Photos, a number of labels, and of how many photos the pipeline's time is taken, by the size of its batches."""

    title: str
    photos: Path
    labels: int
    pipeline: dict[int, int]


def rates(bench: Bench, case: Case, *, runs: int) -> dict[str, list[float]]:
    """Photos a second of each program, run by run, whole processes."""
    found: dict[str, list[float]] = {}
    if importlib.util.find_spec("openvino"):
        # A model is converted once.
        bench.ours(case.photos, case.labels, "--engine", "openvino")
    for _ in range(runs):
        measured = dict(_run(bench, case))
        for name, rate in measured.items():
            found.setdefault(name, []).append(rate)
        print({name: round(rate, 2) for name, rate in measured.items()}, file=sys.stderr, flush=True)
    return found


def _run(bench: Bench, case: Case) -> Iterator[tuple[str, float]]:
    photos, labels = case.photos, case.labels
    count = len(list(photos.iterdir()))
    yield "clipcli", count / bench.ours(photos, labels, "--engine", "torch")
    yield "clipcli, --decode fast", count / bench.ours(photos, labels, "--engine", "torch", "--decode", "fast")
    yield "clipcli, --precision fp32", count / bench.ours(photos, labels, "--engine", "torch", "--precision", "fp32")
    if importlib.util.find_spec("openvino"):
        yield "clipcli, --engine openvino", count / bench.ours(photos, labels, "--engine", "openvino")
        both = ("--engine", "openvino", "--decode", "fast")
        yield "clipcli, --engine openvino --decode fast", count / bench.ours(photos, labels, *both)
    yield "open_clip and a DataLoader", count / bench.peer("open_clip", photos, labels, 32)
    if importlib.util.find_spec("clip_benchmark"):
        yield "CLIP_benchmark", count / bench.clip_benchmark(photos, labels)
    start = bench.peer("pipeline", _first(photos, 1), labels, 1)
    for batch_size, some in case.pipeline.items():
        each = max(1e-3, bench.peer("pipeline", _first(photos, some), labels, batch_size) - start) / (some - 1)
        yield f"pipeline, batches of {batch_size}", count / (start + each * (count - 1))


def _first(photos: Path, count: int) -> Path:
    """A folder of the first photos."""
    folder = photos.with_name(f"{photos.name}-{count}")
    if not folder.is_dir():
        folder.mkdir()
        for photo in sorted(photos.iterdir())[:count]:
            os.link(photo, folder / photo.name)
    return folder


def _save_shards(folder: Path, target: Path, labels: Path, *, count: int) -> None:
    """The photos as CLIP_benchmark reads them, all of them of the first class."""
    (target / "test").mkdir(parents=True)
    for number in range(count):
        with tarfile.open(target / "test" / f"{number}.tar", "w", dereference=True) as shard:
            for photo in sorted(folder.iterdir())[number::count]:
                shard.add(photo.resolve(), photo.name)
                truth = tarfile.TarInfo(f"{photo.stem}.cls")
                truth.size = 1
                shard.addfile(truth, io.BytesIO(b"0"))
    (target / "test" / "nshards.txt").write_text(str(count))
    (target / "classnames.txt").write_text(labels.read_text())
    (target / "zeroshot_classification_templates.txt").write_text(TEMPLATE.replace("{}", "{c}") + "\n")


def main() -> None:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photos")
    parser.add_argument("--copies", type=int, default=512)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--case", type=int, help="only the first, second or third table")
    given = parser.parse_args()
    photos = sorted(Path(given.photos).glob("*.jpg"))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        bench = Bench(root, photos)
        small = copies(photos, root / "small", count=given.copies)
        large = copies(photos, root / "large", count=given.copies // 2, megapixels=MEGAPIXELS)
        few, many = min(64, given.copies), given.copies
        cases = [
            Case("photos of 500×375 pixels, 10 labels", small, 10, {1: few, 32: many}),
            Case("photos of 500×375 pixels, 1,000 labels", small, 1000, {1: 3, 32: few}),
            Case("photos of 12 megapixels, 10 labels", large, 10, {1: few // 2, 32: few}),
        ]
        for case in cases if given.case is None else [cases[given.case - 1]]:
            found = rates(bench, case, runs=given.runs)
            print(f"\n{len(list(case.photos.iterdir()))} {case.title}, medians of {given.runs}\n")
            print("| | photos/s | clipcli is |\n| --- | --- | --- |")
            for program, values in found.items():
                times = [mine / theirs for mine, theirs in zip(found["clipcli"], values, strict=True)]
                print(f"| {program} | {statistics.median(values):.2f} | {statistics.median(times):.1f} times as fast |")
        print(json.dumps({"cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
