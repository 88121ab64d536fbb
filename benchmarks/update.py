"""`classify --update` beside a fresh run: 20 new photos among 10,000 known ones, and 1,000 renamed files.

Makes small photos in a temporary folder with a cache of its own, and runs the command in processes of their own:

    python benchmarks/update.py [--photos 10000] [--model tiny]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    """Print the seconds of each run, and how many images it encoded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--model", default="tiny")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["CLIPCLI_CACHE"] = str(Path(folder) / "cache")
        make_photos(range(options.photos))
        fresh = classify(options.model, "-o", "rows.csv")
        make_photos(range(options.photos, options.photos + 20))
        new = classify(options.model, "-o", "rows.csv", "--update")
        for n in range(0, options.photos, 10):
            os.rename(f"photos/{n:06}.jpg", f"photos/renamed-{n:06}.jpg")
        renamed = classify(options.model, "-o", "rows.csv", "--update")
        again = classify(options.model, "-o", "rows.csv", "--update")
        for name, (seconds, said) in {"fresh": fresh, "20 new": new, "renamed": renamed, "as it was": again}.items():
            print(f"{name:10} {seconds:7.1f} s  {fresh[0] / seconds:5.1f} ×  {said}")


def make_photos(numbers: range) -> None:
    """Photos of 96 × 72 pixels of soft noise."""
    Path("photos").mkdir(exist_ok=True)
    for n in numbers:
        noise = np.random.default_rng(n).integers(0, 255, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((96, 72), Image.Resampling.BICUBIC).save(f"photos/{n:06}.jpg")


def classify(model: str, *flags: str) -> tuple[float, str]:
    """The seconds of a run, and its last word about the output."""
    command = [sys.executable, "-m", "clipcli", "classify", "photos", "--labels", "cat, dog, beach", "--model", model]
    began = time.perf_counter()
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    loaded = "" if "Loading" in done.stderr else " (no model was loaded)"
    [said] = [line for line in done.stderr.splitlines() if line.startswith("rows.csv: ")]
    return seconds, said.removeprefix("rows.csv: ") + loaded


if __name__ == "__main__":
    main()
