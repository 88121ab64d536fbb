"""How soon photos that were seen before are labelled anew: whole processes, as a ratio against encoding them again.

A photo library is labelled once, then again with the same labels and with one new label. Labelling without the cache is
what any tool does that keeps nothing. Where OpenVINO is installed the model is prepared; ARCH may be tiny.
Run: python benchmarks/relabel.py [--images N] [--labels N] [--arch ARCH]
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from load import apart, save_random
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from PIL import Image
from side_by_side import RUNS


def library(folder: Path, count: int) -> Path:
    """Small images of noise, a thousand in each folder."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(path)
    return folder


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--arch", default="ViT-B-32")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        model = given.arch
        if model != "tiny":
            model = str(root / "model")
            (root / "model").mkdir()
            save_random(given.arch, root / "model")
        photos = library(root / "photos", given.images)
        environment = apart(root)
        if importlib.util.find_spec("openvino"):
            subprocess.run([sys.executable, "-m", "clipcli", "models", model, "--prepare"], check=True, env=environment)

        def seconds(labels: int) -> float:
            file = root / f"{labels}.txt"
            file.write_text("".join(f"{label}\n" for label in IMAGENET_CLASSNAMES[:labels]))
            command = ["classify", photos, "--labels", file, "--model", model, "-o", root / "out.csv", "-q"]
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "clipcli", *map(str, command), "--overwrite"], check=True, env=environment
            )
            return time.perf_counter() - start

        first = seconds(given.labels)
        print(f"{given.images:,} images × {given.labels} labels, first run: {first:.1f} s")
        again = [seconds(given.labels) for _ in range(RUNS)]
        new = [seconds(given.labels + 1 + n) for n in range(RUNS)]
    for what, times in (("the same again", again), ("with one new label", new)):
        median = statistics.median(times)
        print(f"{what}: {median:.2f} s, median of {RUNS}, {first / median:.0f} times as fast")


if __name__ == "__main__":
    main()
