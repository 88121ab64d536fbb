"""What folding batch norms into convolutions gives: image towers with random weights, both ways in turn.

Run: python benchmarks/folding.py
"""

import copy
import statistics
import time

import open_clip
import timm
import torch
from torch import nn

from clipcli.backbones.folding import fold_batch_norms

IMAGES, ROUNDS = 32, 5
LITE = "EfficientNet-Lite2, 224 pixels"


def main() -> None:
    """Print a table: images a second of each tower, medians of five."""
    print(
        "| image tower | precision | as it is | folded | times as fast |", "| --- | --- | --- | --- | --- |", sep="\n"
    )
    for name, pixels, tower in (
        (LITE, 224, timm.create_model("tf_efficientnet_lite2", num_classes=0)),
        ("RN50", 224, open_clip.create_model("RN50", load_weights=False).visual),
        ("MobileCLIP-S1", 256, open_clip.create_model("MobileCLIP-S1", load_weights=False).visual),
    ):
        for precision in (torch.float32, torch.bfloat16):
            before, after = (rate / IMAGES for rate in compared(tower.eval(), pixels, precision))
            print(
                f"| {name} | {str(precision).removeprefix('torch.')} | {1 / before:.1f} | {1 / after:.1f} "
                f"| {before / after:.2f} |",
                flush=True,
            )


def compared(tower: nn.Module, pixels: int, precision: torch.dtype) -> tuple[float, float]:
    """Seconds for a batch as the tower is and folded, measured in turn."""
    folded = copy.deepcopy(tower)
    fold_batch_norms(folded)
    # As clipcli gives them: channels last, and norms in float32.
    images = torch.randn(IMAGES, 3, pixels, pixels, dtype=precision).to(memory_format=torch.channels_last)
    towers = [cast(tower, precision), cast(folded, precision)]
    taken: list[list[float]] = [[], []]
    with torch.inference_mode():
        for round_number in range(ROUNDS + 1):
            for seconds, one in zip(taken, towers, strict=True):
                start = time.perf_counter()
                one(images)
                if round_number:
                    seconds.append(time.perf_counter() - start)
    before, after = map(statistics.median, taken)
    return before, after


def cast(tower: nn.Module, precision: torch.dtype) -> nn.Module:
    """A copy in this precision."""
    copied = copy.deepcopy(tower).to(precision)
    for module in copied.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.float()
    return copied


if __name__ == "__main__":
    main()
