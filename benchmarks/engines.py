"""How fast engines encode images on the processor: images a second, beside torch, and the share of the matrix rate.

The image tower has random weights. The matrix rate is that of torch's product of two large matrices in the same
precision, measured in turn with the rest. Prints a Markdown table, and what a conversion takes. With a folder of photos
also what is left of those rates where photos are read and decoded beside, without a process's start: decoding takes the
same cores, so that no program that decodes there comes nearer than the limit.
Run: python benchmarks/engines.py [ARCH] [BATCH] [PHOTOS]
"""

import contextlib
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from load import save_random
from side_by_side import RUNS
from torch.utils.flop_counter import FlopCounterMode

from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.devices import cores
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.data.images import list_images
from clipcli.encoding.batch_size import with_batch_size
from clipcli.encoding.encode import encode
from clipcli.encoding.engines import openvino
from clipcli.encoding.engines.agreement import least_cosine
from clipcli.encoding.engines.choose import with_engine
from clipcli.encoding.engines.convert import of_tensors
from clipcli.encoding.engines.prepared import PreparedImages
from clipcli.events import result_of
from clipcli.images.stopwatch import Stopwatch
from clipcli.notices import Notices
from clipcli.records import ImageItem

PRECISIONS = ("fp32", "bf16")
SIDE = 2048


def tower(folder: Path, precision: str) -> Backbone:
    """The image tower in torch."""
    runtime = choose_runtime(device="cpu", precision=precision)
    return load(result_of(backbones.find(str(folder))()), runtime=runtime, towers=(IMAGE,))


def operations(backbone: Backbone, pixels: torch.Tensor) -> float:
    """Floating-point operations for one image, by torch's counter."""
    torch.backends.mha.set_fastpath_enabled(False)
    with FlopCounterMode(display=False) as counter:
        backbone.encode_images(pixels[:1])
    torch.backends.mha.set_fastpath_enabled(True)
    return float(counter.get_total_flops())


def without_fast_path(backbone: Backbone, pixels: torch.Tensor) -> None:
    """Encode with torch's general attention."""
    torch.backends.mha.set_fastpath_enabled(False)
    backbone.encode_images(pixels)
    torch.backends.mha.set_fastpath_enabled(True)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cases(folder: Path, pixels: torch.Tensor) -> tuple[dict[str, Callable[[], object]], float]:
    """What is measured, by name, and the operations of an image. Conversions are reported on the way."""
    torch_towers = {precision: tower(folder, precision) for precision in PRECISIONS}
    found: dict[str, Callable[[], object]] = {}
    for precision, backbone in torch_towers.items():
        matrix = torch.randn(SIDE, SIDE, dtype=backbone.runtime.dtype)
        found[f"matrix {precision}"] = partial(torch.matmul, matrix, matrix)
        found[f"torch {precision}"] = partial(backbone.encode_images, pixels)
        found[f"torch {precision}, no fast path"] = partial(without_fast_path, backbone, pixels)
        if openvino.version() is not None:
            start = time.perf_counter()
            converted = result_of(with_engine(backbone, engine="openvino", images=1))
            middle = time.perf_counter()
            converted = result_of(with_engine(backbone, engine="openvino", images=1))
            loaded = time.perf_counter() - middle
            if not isinstance(converted, PreparedImages):
                raise SystemExit("OpenVINO refused the model")
            encode = of_tensors(converted)
            cosine = least_cosine(encode, torch_towers["fp32"])
            print(
                f"OpenVINO {precision}: converted in {middle - start:.1f} s, loaded in {loaded:.2f} s, "
                f"least cosine to torch fp32 {cosine:.6f}\n"
            )
            found[f"OpenVINO {precision}"] = partial(encode, pixels)
    return found, operations(torch_towers["fp32"], pixels)


def decoded_beside(encoder: Backbone | PreparedImages, items: Sequence[ImageItem]) -> tuple[float, float, float]:
    """Images a second alone and end to end, and the seconds of a core that an image takes to read and decode."""
    size = encoder.runtime.batch_size
    height, width = encoder.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (size, height, width, 3), dtype=np.uint8)
    embed = of_tensors(encoder) if isinstance(encoder, PreparedImages) else encoder.encode_images
    given, batches = torch.from_numpy(pixels), len(items) // size
    alone = seconds(lambda: [embed(given) for _ in range(batches)])
    watch = Stopwatch()
    whole = seconds(lambda: list(encode(items, backbones=[encoder], watch=watch)))
    return batches * size / alone, len(items) / whole, (watch.cpu("read") + watch.cpu("decode")) / len(items)


def end_to_end(folder: Path, photos: Path, *, count: int = 512) -> None:
    """Print what is left of the engines' rates in bf16, medians."""
    items = list_images([str(photos)], stdin=sys.stdin, notices=Notices())
    items = (items * (count // len(items) + 1))[:count]
    backbone = with_batch_size(tower(folder, "bf16"))
    encoders: dict[str, Backbone | PreparedImages] = {"torch": backbone}
    if openvino.version() is not None:
        encoders["OpenVINO"] = result_of(with_engine(backbone, engine="openvino", images=1))
    found: dict[str, list[tuple[float, float, float]]] = {engine: [] for engine in encoders}
    for _ in range(RUNS):
        for engine, encoder in encoders.items():
            found[engine].append(decoded_beside(encoder, items))
    print("\n| engine, bf16 | images/s | end to end | share | decoding | limit | share of the limit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for engine, runs in found.items():
        alone, whole, decoding = map(statistics.median, zip(*runs, strict=True))
        limit = 1 / (1 / alone + decoding / cores())
        print(
            f"| {engine} | {alone:.1f} | {whole:.1f} | {100 * whole / alone:.0f} % | {1000 * decoding:.1f} ms "
            f"| {limit:.1f} | {100 * whole / limit:.0f} % |"
        )


def main(arch: str, batch: int, photos: Path | None) -> None:
    """Measure in turn, and print medians."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        os.environ["CLIPCLI_CACHE"] = str(Path(name, "cache"))
        folder = Path(name)
        with contextlib.redirect_stderr(None):
            save_random(arch, folder)
        height, width = tower(folder, "fp32").preprocessing.size
        pixels = torch.randint(0, 255, (batch, height, width, 3), dtype=torch.uint8)
        measured, flops = cases(folder, pixels)
        took: dict[str, list[float]] = {case: [] for case in measured}
        for work in measured.values():
            work()
        for _ in range(RUNS):
            for case, work in measured.items():
                took[case].append(seconds(work))
        if photos is not None:
            end_to_end(folder, photos)
    print(f"{arch}, batches of {batch}, {torch.get_num_threads()} threads, {flops / 1e9:.1f} GFLOP an image")
    for precision in PRECISIONS:
        rates = [2 * SIDE**3 / one / 1e9 for one in took[f"matrix {precision}"]]
        print(f"matrices {precision}: {statistics.median(rates):.0f} GFLOP/s")
    print("\n| engine | images/s | times torch fp32 | share of the matrix rate |\n| --- | --- | --- | --- |")
    for case, times in took.items():
        if case.startswith("matrix"):
            continue
        matrix = took["matrix bf16" if "bf16" in case else "matrix fp32"]
        ratio = statistics.median(base / one for base, one in zip(took["torch fp32"], times, strict=True))
        share = statistics.median(batch * flops / one / (2 * SIDE**3 / m) for one, m in zip(times, matrix, strict=True))
        print(f"| {case} | {batch / statistics.median(times):.1f} | {ratio:.2f} | {100 * share:.0f} % |")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        given[0] if given else "ViT-B-32",
        int(given[1]) if len(given) > 1 else 32,
        Path(given[2]) if len(given) > 2 else None,
    )
