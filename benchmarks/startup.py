"""How soon `--help` is there, in CPU seconds against importing open_clip, and how soon the first photo is labelled.

A tool pays for the import whose command line loads its model library before it parses. The photo is labelled by whole
processes, with ViT-B-32, random weights and 10 labels: by clipcli without its cache and, as in a second run, with it,
and by what a user would pick instead. Run: python benchmarks/startup.py PHOTO
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from images import Bench, copies
from side_by_side import side_by_side

from clipcli.cli import COMMANDS


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def first_photo(photo: Path) -> None:
    """Print how long one photo takes."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), [photo])
        folder = copies([photo], Path(name) / "photo", count=1)
        bench.ours(folder, 10, cache=True)
        cases = {
            "clipcli": partial(bench.ours, folder, 10),
            "clipcli, a second time": partial(bench.ours, folder, 10, cache=True),
            "transformers' pipeline": partial(bench.peer, "pipeline", folder, 10, 1),
        }
        for case, (seconds, ratio) in side_by_side(partial(bench.peer, "open_clip", folder, 10, 1), cases).items():
            print(f"one photo, {case:24} {seconds:.2f} s, {ratio:.1f} times sooner than open_clip's functions")


def main() -> None:
    """Measure, and print medians."""
    baseline = ["-c", "import open_clip"]
    cpu_seconds(baseline)
    helps = ["--help", *(f"{command} --help" for command in COMMANDS)]
    cases = {f"clipcli {words}": partial(cpu_seconds, ["-m", "clipcli", *words.split()]) for words in helps}
    for name, (seconds, ratio) in side_by_side(partial(cpu_seconds, baseline), cases).items():
        print(f"{name:32} {seconds:.2f} s CPU, {ratio:.0f} times less than import open_clip")
    if len(sys.argv) > 1:
        first_photo(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
