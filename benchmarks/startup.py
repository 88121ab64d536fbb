"""How soon `--help` is there: CPU seconds of the whole process, as a ratio against importing open_clip.

A tool pays the latter whose command line imports its model library before it parses. Run: python benchmarks/startup.py
"""

import os
import statistics
import subprocess
import sys

RUNS = 5
COMMANDS = ["--help", "classify --help", "build-classifier --help", "models --help", "prompts --help", "cache --help"]


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure in turn, so that both feel the same machine, and print medians."""
    cases = {f"clipcli {command}": ["-m", "clipcli", *command.split()] for command in COMMANDS}
    baseline = ["-c", "import open_clip"]
    cpu_seconds(baseline)
    times: dict[str, list[float]] = {name: [] for name in cases}
    ratios: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(RUNS):
        base = cpu_seconds(baseline)
        for name, arguments in cases.items():
            times[name].append(cpu_seconds(arguments))
            ratios[name].append(base / times[name][-1])
    for name in cases:
        seconds, ratio = statistics.median(times[name]), statistics.median(ratios[name])
        print(f"{name:32} {seconds:.2f} s CPU, {ratio:.0f} times less than import open_clip")


if __name__ == "__main__":
    main()
