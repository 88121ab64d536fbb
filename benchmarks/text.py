"""How soon class embeddings are there: prompts a second, as a ratio against open_clip's `build_zero_shot_classifier`.

Both encode the first classes of ImageNet with its 80 templates, on the same random weights, on the processor. open_clip
runs in fp32, clipcli in fp32 and in bf16; how far the embeddings are apart is printed beside the ratio.
Run: python benchmarks/text.py [ARCH] [CLASSES]
"""

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


def main(arch: str, classes: int) -> None:
    """Measure in turn, and print medians."""
    logging.disable(logging.WARNING)
    labels = list(IMAGENET_CLASSNAMES[:classes])
    prompts = classes * len(OPENAI_IMAGENET_TEMPLATES)
    rates: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    ratios: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    base_rates = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_random(arch, folder)
        for _ in range(RUNS):
            expected, base = theirs(folder, labels)
            base_rates.append(prompts / base)
            for precision in PRECISIONS:
                embeddings, seconds = ours(folder, labels, precision)
                rates[precision].append(prompts / seconds)
                ratios[precision].append(base / seconds)
                error = np.abs(embeddings - expected).max()
                cosine = (embeddings * expected).sum(axis=1).min()
                apart = f"largest difference {error:.1e}, least cosine {cosine:.6f}"
                print(f"  {precision}: {ratios[precision][-1]:.1f} times; {apart}", file=sys.stderr)
    print(f"{arch}, {classes} classes × {len(OPENAI_IMAGENET_TEMPLATES)} prompts, medians of {RUNS}")
    print(f"open_clip fp32: {statistics.median(base_rates):.1f} prompts/s")
    for precision in PRECISIONS:
        rate, ratio = statistics.median(rates[precision]), statistics.median(ratios[precision])
        print(f"clipcli {precision}, loading included: {rate:.1f} prompts/s, {ratio:.1f} times open_clip")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "ViT-B-32", int(sys.argv[2]) if len(sys.argv) > 2 else 4)
