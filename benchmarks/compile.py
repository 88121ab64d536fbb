"""What `clipcli train --compile` costs and gains on this machine: the first step, the steps after it, and when it pays.

The same new model is trained on the same photos and captions with and without, each in a process of its own, in turn.
A step's time is the median over the steps after the warm-up, figures are medians of runs.
Run: python benchmarks/compile.py [ARCH] [BATCH] [PRECISION] [RUNS]
"""

import itertools
import math
import statistics
import sys
import tempfile
from pathlib import Path

from train import make_data, run, step_ends

STEPS, WARMUP = 10, 4


def train(table: Path, arch: str, *, batch: int, precision: str, how: str) -> tuple[float, float, float]:
    """Seconds until the warm-up is over, seconds of a step after it, and the peak memory in MB."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "clipcli", "train", str(table), "--arch", arch, "--output", name, how]
        command += ["--steps", str(STEPS), "--batch-size", str(batch), "--precision", precision, "--log-every", "1"]
        memory = run([*command, "--crop", "0.9", "--no-flip", "--save-every", "1000"], Path(name) / "log.txt")
        ends = step_ends(Path(name))[WARMUP - 1 :]
    return ends[0], statistics.median(after - before for before, after in itertools.pairwise(ends)), memory


def main(arch: str, batch: int, precision: str, runs: int) -> None:
    """Measure in turn, and print medians."""
    measured: dict[str, list[tuple[float, float, float]]] = {"--no-compile": [], "--compile": []}
    with tempfile.TemporaryDirectory() as name:
        table = make_data(Path(name))
        for _ in range(runs):
            for how, results in measured.items():
                results.append(train(table, arch, batch=batch, precision=precision, how=how))
                print(how, *(f"{value:.2f}" for value in results[-1]), file=sys.stderr)
    medians = {
        how: [statistics.median(column) for column in zip(*results, strict=True)] for how, results in measured.items()
    }
    print(f"{arch}, batches of {batch}, {precision}, medians of {runs}")
    for how, (start, step, memory) in medians.items():
        print(f"{how}: {start:.1f} s for the first {WARMUP} steps, {step:.2f} s for one after them, {memory:,.0f} MB")
    (start, step, _), (compiled_start, compiled_step, _) = medians.values()
    gained = step - compiled_step
    pays = (
        f"pays from {math.ceil((compiled_start - start) / gained) + WARMUP:,} steps on" if gained > 0 else "never pays"
    )
    print(f"compiled, a step is {step / compiled_step:.2f} times as fast, which {pays}")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        given[0] if given else "ViT-B-32",
        int(given[1]) if given[1:] else 64,
        given[2] if given[2:] else "fp32",
        int(given[3]) if given[3:] else 3,
    )
