"""Images a second of training beside a locked image tower: each image encoded once, and encoded in each step.

Both are `clipcli train --lock image` on the same photos with captions, whole images, in fp32. A rate is the median over
the steps after the first, without the time to encode the images once, which is printed beside it.
Run: python benchmarks/stored.py [MODEL] [STEPS]
"""

import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from train import make_data, step_ends

import clipcli

BATCH = 128


def rate(table: Path, output: Path, *, model: str, steps: int) -> tuple[float, float]:
    """Images a second, and the seconds of the whole run."""
    begun = time.monotonic()
    settings: dict[str, Any] = {
        "lock": "image",
        "lr": 1e-4,
        "steps": steps,
        "batch_size": BATCH,
        "precision": "fp32",
        "log_every": 1,
    }
    clipcli.train(str(table), model=model, output=output, hold_out=0, save_every=steps, **settings)
    whole = time.monotonic() - begun
    took = [after - before for before, after in itertools.pairwise(step_ends(output))]
    return BATCH / statistics.median(took), whole


def main(model: str, steps: int) -> None:
    """Measure both, and print the ratio."""
    with tempfile.TemporaryDirectory() as name:
        table = make_data(Path(name))
        stored, whole = rate(table, Path(name) / "stored", model=model, steps=steps)
        with mock.patch("clipcli.commands.train.choose.stores_images", return_value=False):
            slow, slow_whole = rate(table, Path(name) / "slow", model=model, steps=steps)
    print(f"{model}, batches of {BATCH}, {steps} steps, fp32")
    print(f"encoded once: {stored:.0f} images/s, {whole:.0f} s in all")
    print(f"encoded in each step: {slow:.0f} images/s, {slow_whole:.0f} s in all")
    print(f"{stored / slow:.0f} times as fast")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "tiny", int(given[1]) if given[1:] else 12)
