"""What folding batch norms into convolutions gives: models with random weights, both ways in turn.

Run: python benchmarks/folding.py
"""

import time
from functools import partial
from pathlib import Path

import torch
from side_by_side import side_by_side

from clipcli.backbones.architectures import find_architecture
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.folding import fold_batch_norms
from clipcli.backbones.load import initialise
from clipcli.backbones.runtime import choose_runtime
from clipcli.backbones.towers import cast_towers

LITE = Path(__file__).parents[1] / "examples" / "pretrain-tiny" / "open_clip_config.json"
ARCHS = {"EfficientNet-Lite2, 224 pixels": str(LITE), "ResNet-50": "RN50", "MobileCLIP-S1": "MobileCLIP-S1"}
IMAGES = 32


def main() -> None:
    """Measure, and print a table in Markdown."""
    print(
        "| image tower | precision | as it is | folded | times as fast |", "| --- | --- | --- | --- | --- |", sep="\n"
    )
    for name, arch in ARCHS.items():
        for precision in ("fp32", "bf16"):
            before, after = (made(arch, precision, folded=folded) for folded in (False, True))
            for backbone in (before, after):
                seconds(backbone)
            compared = side_by_side(partial(seconds, before), {"folded": partial(seconds, after)})
            taken, times = compared["folded"]
            rate = IMAGES / taken
            print(f"| {name} | {precision} | {rate / times:.1f} | {rate:.1f} | {times:.2f} |", flush=True)


def made(arch: str, precision: str, *, folded: bool) -> Backbone:
    """A model with random weights."""
    backbone = initialise(find_architecture(arch), runtime=choose_runtime(device="cpu", precision=precision))
    if folded:
        assert backbone.towers.visual is not None
        fold_batch_norms(backbone.towers.visual)
    cast_towers(backbone.towers, backbone.runtime.dtype)
    return backbone


def seconds(backbone: Backbone) -> float:
    """Seconds to encode a batch."""
    height, width = backbone.preprocessing.size
    pixels = torch.randint(0, 256, (IMAGES, height, width, 3), dtype=torch.uint8)
    start = time.perf_counter()
    backbone.encode_images(pixels)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
