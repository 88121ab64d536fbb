"""What `clipcli train` gains and loses by its defaults, and how long it takes: the first table of docs/train.md.

Each run is the command as docs/train.md has it, in a process and with a cache of its own, and its minutes are those of
the whole process. Top-1 is what the run itself measures on --val and --retain, before and after; recall@10 of captions
by images and of images by captions is what `clipcli evaluate` measures on Flickr8k's `dev`, which no run is given.
Run: python benchmarks/defaults.py DATA STARTER [ROW…], where DATA has the zip files, and STARTER is a second model
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A run of the table: the model, and what it trains on, validates on and shall retain."""

    model: str
    train: str
    val: str
    retain: str


ROWS = (
    Row("tiny", "clothing.zip/train", "clothing.zip/validation", "caltech101.zip/val"),
    Row("tiny", "caltech101.zip/train", "caltech101.zip/val", "clothing.zip/validation"),
    Row("starter", "clothing.zip/train", "clothing.zip/validation", "tiny-imagenet.zip/val"),
)
CAPTIONS = "flickr8k.zip/dev"
WAYS = ("image_to_text_recall@10", "text_to_image_recall@10")


def clipcli(*arguments: str | Path, cache: Path) -> float:
    """Run a command to its end; the seconds that it took."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "clipcli", *map(str, arguments), "--quiet"]
    done = subprocess.run(command, env=os.environ | {"XDG_CACHE_HOME": str(cache)}, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return time.monotonic() - begun


def recalls(data: Path, model: str | Path, folder: Path) -> str:
    """The recall@10 of a model both ways on the captions, in percent."""
    clipcli("evaluate", data / CAPTIONS, "--model", model, "--output", folder, cache=folder.with_suffix(".cache"))
    metrics = json.loads((folder / "metrics.json").read_text())
    return " / ".join(f"{100 * metrics[way]:.1f}" for way in WAYS)


def measured(row: Row, *, data: Path, model: str, folder: Path) -> list[str]:
    """The cells of a row."""
    run = folder / "run"
    seconds = clipcli(
        "train",
        data / row.train,
        *("--model", model, "--output", run, "--val", data / row.val),
        *("--retain", data / row.retain, "--wise-ft", "auto"),
        cache=folder / "cache",
    )
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    before = next(line for line in lines if line["kind"] == "validation")
    after = next(line for line in lines if line["kind"] == "end")["metrics"]
    top1 = [f"{100 * before[name]:.1f} → {100 * after[name]:.1f} %" for name in ("zero_shot_top1", "retain_top1")]
    found = [recalls(data, which, folder / name) for name, which in (("before", model), ("after", run))]
    return [top1[0], f"{top1[1]} (`{row.retain}`)", f"{found[0]} → {found[1]} %", f"{seconds / 60:.1f}"]


def main(data: Path, starter: str, chosen: list[int]) -> None:
    """Print the table, or some of its rows."""
    print("| model | DATA | top-1 on `--val` | top-1 on `--retain` | recall@10 on Flickr8k | minutes |")
    print("|---|---|---|---|---|---|")
    for number in chosen or range(len(ROWS)):
        row = ROWS[number]
        with tempfile.TemporaryDirectory() as name:
            model = starter if row.model == "starter" else row.model
            cells = measured(row, data=data, model=model, folder=Path(name))
        print(f"| {' | '.join([f'`{row.model}`', f'`{row.train}`', *cells])} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(number) for number in sys.argv[3:]])
