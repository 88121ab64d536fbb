"""Whether `clipcli train --compile` pays on a processor: seconds of a step and of the first one, with it and without.

Each is a run of its own that pretrains ViT-B-32 on the same photos. A step is the median of all but the first two,
and the first is longer by what compiling takes; both runs in turn feel the same machine.
Run: python benchmarks/compile.py [PRECISION] [STEPS] [ARCH]
"""

import itertools
import json
import statistics
import sys
import tempfile
from pathlib import Path

from train import make_data, run

BATCH = 64


def seconds(table: Path, *, arch: str, precision: str, steps: int, compiled: bool) -> tuple[float, float]:
    """The seconds until the first step is taken, and those of a later one."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "clipcli", "train", str(table), "--arch", arch, "--output", name]
        command += ["--steps", str(steps), "--batch-size", str(BATCH), "--precision", precision, "--device", "cpu"]
        command += ["--crop", "0.9", "--log-every", "1", "--save-every", "1000", *(["--compile"] if compiled else [])]
        run(command, Path(name) / "log.txt")
        lines = [json.loads(line) for line in (Path(name) / "metrics.jsonl").read_text().splitlines()]
    at = [line["seconds"] for line in lines if line["kind"] == "step"]
    return at[0], statistics.median(after - before for before, after in itertools.pairwise(at[1:]))


def main(precision: str, steps: int, arch: str) -> None:
    """Measure both, and print after how many steps compiling has paid."""
    with tempfile.TemporaryDirectory() as name:
        table = make_data(Path(name))
        found = {}
        for compiled in (False, True):
            found[compiled] = seconds(table, arch=arch, precision=precision, steps=steps, compiled=compiled)
            print(f"compiled: {compiled}, first step {found[compiled][0]:.1f} s, a step {found[compiled][1]:.2f} s")
    (first, step), (first_compiled, step_compiled) = found[False], found[True]
    saved = step - step_compiled
    print(f"{arch}, batches of {BATCH}, {precision}: compiling saves {saved / step:.0%} of a step")
    if saved > 0:
        print(f"it has paid after {(first_compiled - first) / saved:.0f} steps")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "fp32", int(given[1]) if given[1:] else 8, given[2] if given[2:] else "ViT-B-32")
