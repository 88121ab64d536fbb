"""Images a second of image towers by batch size, on a processor: what `clipcli/batch_size.py` goes by.

Sizes are measured in turn, so that all of them feel the same machine. Random weights and random images.
Run: python benchmarks/batch_size.py [--arch ARCH] [--precision P] [--sizes N N …]
"""

import argparse
import statistics
import time

import torch
from side_by_side import RUNS

from clipcli.backbones.architectures import find_architecture
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.load import initialise
from clipcli.backbones.runtime import choose_runtime
from clipcli.backbones.towers import cast_towers

ARCHS = ("ViT-B-32", "ViT-B-16", "RN50", "convnext_base")
SIZES = (2, 4, 8, 16, 32, 64)
# So many images are encoded for one figure, at least.
IMAGES = 32


def rate(backbone: Backbone, size: int) -> float:
    """Images a second in batches of this size."""
    height, width = backbone.preprocessing.size
    pixels = torch.randint(0, 256, (size, height, width, 3), dtype=torch.uint8)
    times = max(1, IMAGES // size)
    start = time.perf_counter()
    for _ in range(times):
        backbone.encode_images(pixels)
    return times * size / (time.perf_counter() - start)


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", nargs="+", default=ARCHS)
    parser.add_argument("--precision", nargs="+", default=("bf16", "fp32"))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    given = parser.parse_args()
    print(f"| images at once | {' | '.join(map(str, given.sizes))} |\n|---|{'---|' * len(given.sizes)}")
    for arch in given.arch:
        for precision in given.precision:
            runtime = choose_runtime(device="cpu", precision=precision)
            backbone = initialise(find_architecture(arch), runtime=runtime)
            cast_towers(backbone.towers, runtime.dtype)
            backbone.encode_images(torch.zeros(1, *backbone.preprocessing.size, 3, dtype=torch.uint8))
            rounds = [[rate(backbone, size) for size in given.sizes] for _ in range(RUNS)]
            medians = [f"{statistics.median(rates):.1f}" for rates in zip(*rounds, strict=True)]
            print(f"| {arch}, {precision} | {' | '.join(medians)} |", flush=True)


if __name__ == "__main__":
    main()
