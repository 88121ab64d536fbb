"""How soon `--help` is there: CPU seconds of the whole process, as a ratio against importing open_clip.

A tool pays the latter whose command line imports its model library before it parses. Run: python benchmarks/startup.py
"""

import os
import subprocess
import sys
from functools import partial

from side_by_side import side_by_side

COMMANDS = ["--help", "classify --help", "build-classifier --help", "models --help", "prompts --help", "cache --help"]


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure, and print medians."""
    baseline = ["-c", "import open_clip"]
    cpu_seconds(baseline)
    cases = {f"clipcli {c}": partial(cpu_seconds, ["-m", "clipcli", *c.split()]) for c in COMMANDS}
    for name, (seconds, ratio) in side_by_side(partial(cpu_seconds, baseline), cases).items():
        print(f"{name:32} {seconds:.2f} s CPU, {ratio:.0f} times less than import open_clip")


if __name__ == "__main__":
    main()
