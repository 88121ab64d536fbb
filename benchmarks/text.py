"""How soon class embeddings are there: prompts a second, as a ratio against open_clip's `build_zero_shot_classifier`.

Both encode the first classes of ImageNet with its 80 templates, on the same random weights, on the processor. open_clip
runs in fp32, clipcli in fp32 and in bf16; how far the embeddings are apart is printed beside the ratio. A prompt takes
open_clip the same time whatever it says, so that fewer classes do for it; clipcli's time includes loading.
Run: python benchmarks/text.py [ARCH] [CLASSES] [--open-clip-classes N] [--runs N]
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
from load import save_random
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
from side_by_side import RUNS

import clipcli

PRECISIONS = ("fp32", "bf16")


def theirs(folder: Path, labels: list[str]) -> tuple[np.ndarray, float]:
    """open_clip's class embeddings `[C, D]`, and the seconds they took without loading."""
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    start = time.perf_counter()
    embeddings = open_clip.build_zero_shot_classifier(model, tokenizer, labels, OPENAI_IMAGENET_TEMPLATES)
    return embeddings.T.numpy(), time.perf_counter() - start


def ours(folder: Path, labels: list[str], precision: str) -> tuple[np.ndarray, float]:
    """clipcli's class embeddings `[C, D]`, and the seconds they took, loading included."""
    start = time.perf_counter()
    classifier = clipcli.build_classifier(labels, model=str(folder), precision=precision, device="cpu", cache=False)
    return classifier.class_embeddings, time.perf_counter() - start


def main(arch: str, classes: int, their_classes: int, runs: int) -> None:
    """Measure in turn, and print medians of rates, and the embeddings that are farthest apart."""
    logging.disable(logging.WARNING)
    labels, templates = list(IMAGENET_CLASSNAMES[:classes]), len(OPENAI_IMAGENET_TEMPLATES)
    rates: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    ratios: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    apart: dict[str, str] = {}
    base_rates = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_random(arch, folder)
        for _ in range(runs):
            expected, base = theirs(folder, labels[:their_classes])
            base_rates.append(len(expected) * templates / base)
            for precision in PRECISIONS:
                embeddings, seconds = ours(folder, labels, precision)
                rates[precision].append(classes * templates / seconds)
                ratios[precision].append(rates[precision][-1] / base_rates[-1])
                embeddings = embeddings[: len(expected)]
                error = np.abs(embeddings - expected).max()
                cosine = (embeddings * expected).sum(axis=1).min()
                apart[precision] = f"largest difference {error:.1e}, least cosine {cosine:.6f}"
                print(f"  {precision}: {ratios[precision][-1]:.1f} times; {apart[precision]}", file=sys.stderr)
    print(f"{arch}, {classes} classes × {templates} prompts, open_clip the first {their_classes}, medians of {runs}")
    print(f"open_clip fp32: {statistics.median(base_rates):.1f} prompts/s")
    for precision in PRECISIONS:
        rate, ratio = statistics.median(rates[precision]), statistics.median(ratios[precision])
        print(f"clipcli {precision}: {rate:.1f} prompts/s, {ratio:.1f} times open_clip; {apart[precision]}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("arch", nargs="?", default="ViT-B-32")
    arguments.add_argument("classes", nargs="?", type=int, default=4)
    arguments.add_argument("--open-clip-classes", type=int)
    arguments.add_argument("--runs", type=int, default=RUNS)
    given = arguments.parse_args()
    main(given.arch, given.classes, given.open_clip_classes or given.classes, given.runs)
