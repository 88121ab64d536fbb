"""How fast photos are labelled: whole processes of clipcli and of what a user would pick instead, in turn.

ViT-B-32 with the same random weights for all, one template. Photos of about 500×375 pixels, and the same enlarged to 12
megapixels; 10 and 1,000 labels. The pipeline encodes all labels again for every batch, so that it gets fewer photos and
its time is scaled up; what it takes before its first photo is taken off first.
CLIP_benchmark joins where it is installed; it counts right labels of shards, in place of writing labels.
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
from pathlib import Path

from load import save_random
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
        self.environment = {**os.environ, "CLIPCLI_CACHE": str(root / "cache"), "TOKENIZERS_PARALLELISM": "false"}

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


def rates(bench: Bench, folder: Path, few: Path, *, labels: int, runs: int) -> dict[str, list[float]]:
    """Photos a second of each program, run by run, whole processes."""
    count, less = len(list(folder.iterdir())), len(list(few.iterdir()))
    single = next(iter(sorted(few.iterdir())))
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        measured = {
            "clipcli": count / bench.ours(folder, labels),
            "clipcli, fp32": count / bench.ours(folder, labels, "--precision", "fp32"),
            "clipcli, --decode fast": count / bench.ours(folder, labels, "--decode", "fast"),
            "open_clip and a DataLoader": count / bench.peer("open_clip", folder, labels, 32),
        }
        if importlib.util.find_spec("clip_benchmark"):
            measured["CLIP_benchmark"] = count / bench.clip_benchmark(folder, labels)
        start = bench.peer("pipeline", _only(single, bench.root), labels, 1)
        for batch_size in (1, 32):
            each = max(1e-3, bench.peer("pipeline", few, labels, batch_size) - start) / (less - 1)
            measured[f"pipeline, batches of {batch_size}"] = count / (start + each * (count - 1))
        for name, rate in measured.items():
            found.setdefault(name, []).append(rate)
        print({name: round(rate, 2) for name, rate in measured.items()}, file=sys.stderr)
    return found


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


def _only(photo: Path, root: Path) -> Path:
    folder = root / f"only-{photo.parent.name}"
    if not folder.is_dir():
        folder.mkdir()
        os.link(photo, folder / photo.name)
    return folder


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
        large = copies(photos, root / "large", count=given.copies // 4, megapixels=MEGAPIXELS)
        cases = [
            (small, copies(photos, root / "few", count=64), 10, "photos of 500×375 pixels, 10 labels"),
            (small, copies(photos, root / "fewest", count=2), 1000, "photos of 500×375 pixels, 1,000 labels"),
            (large, large, 10, "photos of 12 megapixels, 10 labels"),
        ]
        for folder, few, labels, title in cases if given.case is None else [cases[given.case - 1]]:
            found = rates(bench, folder, few, labels=labels, runs=given.runs)
            print(f"\n{len(list(folder.iterdir()))} {title}, medians of {given.runs}\n")
            print("| | photos/s | clipcli is |\n| --- | --- | --- |")
            for program, values in found.items():
                times = [mine / theirs for mine, theirs in zip(found["clipcli"], values, strict=True)]
                print(f"| {program} | {statistics.median(values):.2f} | {statistics.median(times):.1f} times as fast |")
        print(json.dumps({"cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
