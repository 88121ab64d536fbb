"""Training speed: images a second of `clipcli train`, as a ratio against open_clip's own training program.

Both train the same new model (ViT-B/32 made smaller) on the same photos and captions, batch and precision, each in a
process of its own, on one device. A run's rate is the median over its steps after warm-up; ratios are medians of runs.
Needs open_clip's training extras: pip install webdataset braceexpand
Run: python benchmarks/train.py [PRECISION] [BATCH] [DEVICE]
"""

import csv
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
from PIL import Image
from side_by_side import RUNS

STEPS, WARMUP, PHOTOS = 12, 4, 512
MODEL = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 224, "layers": 6, "width": 384, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 256, "heads": 4, "layers": 6},
}
THEIR_PRECISION = {"fp32": "fp32", "bf16": "amp_bf16"}
THEIR_PROGRAM = (
    "import sys, open_clip; open_clip.add_model_config(sys.argv[1]); "
    "from open_clip_train.main import main; main(sys.argv[2:])"
)


def make_data(folder: Path) -> Path:
    """Photos of 320×240 pixels, and a table of them with ImageNet's prompts for captions."""
    rng = np.random.default_rng(0)
    table = folder / "pairs.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filepath", "title"])
        for n in range(PHOTOS):
            noise = Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8))
            noise.resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{n}.jpg", quality=90)
            template = OPENAI_IMAGENET_TEMPLATES[n % len(OPENAI_IMAGENET_TEMPLATES)]
            writer.writerow([str(folder / f"{n}.jpg"), template(IMAGENET_CLASSNAMES[n])])
    return table


def run(command: list[str], log: Path) -> float:
    """Run to the end; the most memory in MB that the process has had (on Linux)."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed:\n{log.read_text()[-3000:]}")
    return usage.ru_maxrss / 1000


def step_ends(run_folder: Path) -> list[float]:
    """The seconds of a run of clipcli that logs each step, from its start to the end of each."""
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [line["seconds"] for line in lines if line["kind"] == "step"]


def ours(folder: Path, table: Path, *, precision: str, batch: int, device: str) -> tuple[float, float]:
    """clipcli's images a second, and its peak memory in MB."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "clipcli", "train", str(table), "--arch", str(folder / "small-b-32.json")]
        command += ["--output", name, "--steps", str(STEPS), "--batch-size", str(batch), "--precision", precision]
        command += ["--device", device, "--crop", "0.9", "--no-flip", "--log-every", "1", "--save-every", "1000"]
        memory = run(command, Path(name) / "log.txt")
        took = [after - before for before, after in itertools.pairwise(step_ends(Path(name))[WARMUP - 1 :])]
    return batch / statistics.median(took), memory


def theirs(folder: Path, table: Path, *, precision: str, batch: int, device: str) -> tuple[float, float]:
    """open_clip's images a second, and its peak memory in MB, its loader's processes not counted."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-c", THEIR_PROGRAM, str(folder / "small-b-32.json"), "--model", "small-b-32"]
        command += ["--train-data", str(table), "--dataset-type", "csv", "--csv-separator", ",", "--logs", name]
        command += ["--epochs", str(-(-STEPS * batch // PHOTOS)), "--batch-size", str(batch), "--device", device]
        command += [
            "--precision",
            THEIR_PRECISION[precision],
            "--log-every-n-steps",
            "1",
            "--workers",
            str(os.cpu_count()),
        ]
        command += ["--aug-cfg", "scale=(0.9, 1.0)", "--warmup", "2", "--name", "run", "--save-frequency", "0"]
        log = Path(name) / "log.txt"
        memory = run(command, log)
        took = [float(seconds) for seconds in re.findall(r"Batch \(t\): ([\d.]+)", log.read_text())]
    return batch / statistics.median(took[WARMUP:STEPS]), memory


def main(precision: str, batch: int, device: str) -> None:
    """Measure in turn, and print medians."""
    rates: dict[str, list[float]] = {"clipcli": [], "open_clip": []}
    memories: dict[str, list[float]] = {"clipcli": [], "open_clip": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small-b-32.json").write_text(json.dumps(MODEL))
        table = make_data(folder)
        for _ in range(RUNS):
            for who, measure in (("open_clip", theirs), ("clipcli", ours)):
                rate, memory = measure(folder, table, precision=precision, batch=batch, device=device)
                rates[who].append(rate)
                memories[who].append(memory)
                print(f"  {who}: {rate:.1f} images/s, {memory:,.0f} MB", file=sys.stderr)
    ratio = statistics.median(a / b for a, b in zip(rates["clipcli"], rates["open_clip"], strict=True))
    print(f"small ViT-B/32, batches of {batch}, {precision} on {device}, medians of {RUNS}")
    for who in rates:
        print(f"{who}: {statistics.median(rates[who]):.1f} images/s, {statistics.median(memories[who]):,.0f} MB")
    print(f"clipcli trains at {ratio:.2f} times open_clip's rate")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "fp32", int(given[1]) if given[1:] else 64, given[2] if given[2:] else "cpu")
