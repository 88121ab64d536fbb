"""Whether a long run is as fast, as small and as tidy at its end as at its start, and how soon a million come anew.

The first run labels images of mixed sizes and formats, one in a hundred of them bad, with a one-layer model, so that
the time is that of reading, decoding and writing rows. Its rows, CPU time, memory and open files are read from outside
every tenth of a second. The second run labels a million names of these images, which it has not seen, and the third
gives all of them other labels from the store. Prints Markdown tables. It needs Linux, 2 GB of disk and 20 minutes.
Run: python benchmarks/soak.py [--images N] [--names N] [--into DIR] [FLAG…], with flags of `classify` for the first run
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from memory import save_model
from PIL import Image

SECONDS, PARTS, IN_FOLDER = 0.1, 10, 1000
# Each hundred images has these, in this order: how many, the format, how it is saved, mode, sides.
MADE: tuple[tuple[int, str, dict[str, object], str, tuple[int, int]], ...] = (
    (20, "JPEG", {"quality": 85}, "RGB", (320, 240)),
    (20, "JPEG", {"quality": 85, "progressive": True}, "RGB", (640, 480)),
    (5, "JPEG", {"quality": 90}, "RGB", (1280, 960)),
    (5, "JPEG", {"quality": 85}, "L", (400, 300)),
    (4, "JPEG", {"quality": 85}, "CMYK", (300, 400)),
    (15, "PNG", {}, "RGB", (200, 150)),
    (5, "PNG", {}, "RGBA", (160, 160)),
    (5, "PNG", {}, "P", (256, 256)),
    (10, "WEBP", {"quality": 80}, "RGB", (320, 320)),
    (4, "GIF", {}, "P", (160, 120)),
    (4, "TIFF", {"compression": "tiff_lzw"}, "RGB", (120, 160)),
    (2, "BMP", {}, "RGB", (64, 48)),
)


def made() -> list[tuple[str, bytes]]:
    """Suffix and bytes of 99 images, in a mixed order."""
    rng = np.random.default_rng(0)
    found = []
    for count, kind, options, mode, (width, height) in MADE:
        for _ in range(count):
            noise = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
            image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            found.append((f".{kind.lower()}", buffer.getvalue()))
    return [found[n] for n in rng.permutation(len(found))]


def make(folder: Path, count: int) -> None:
    """So many images that all differ in their last bytes; one in a hundred is cut short, empty, or no image."""
    good = made()
    jpeg = next(data for suffix, data in good if suffix == ".jpeg")
    bad = (b"", jpeg[: len(jpeg) // 2], b"<html>no image</html>", jpeg[:20] + bytes(500), os.urandom(3000))
    for number in range(count):
        if number % IN_FOLDER == 0:
            (folder / f"{number // IN_FOLDER:04}").mkdir(parents=True)
        place = number % (len(good) + 1)
        suffix, data = good[place] if place < len(good) else (".jpg", bad[number // 100 % len(bad)])
        name = folder / f"{number // IN_FOLDER:04}" / f"{number:07}{suffix}"
        name.write_bytes(data + number.to_bytes(8, "big") if data else b"")


def link(images: Path, folder: Path, count: int) -> None:
    """So many names of the images."""
    paths = sorted(images.rglob("*.*"))
    for number in range(count):
        if number % IN_FOLDER == 0:
            (folder / f"{number // IN_FOLDER:04}").mkdir(parents=True)
        path = paths[number % len(paths)]
        os.link(path, folder / f"{number // IN_FOLDER:04}" / f"{number:07}{path.suffix}")


@dataclass(frozen=True)
class Sample:
    """What is seen of a run and its workers at a time: rows, CPU seconds, memory in MB, and open files."""

    time: float
    rows: int
    cpu: float
    memory: float
    files: int


def family(process: int) -> list[int]:
    """A process and all below it."""
    found = [process]
    for one in found:
        try:
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
    return found


def look(process: int, rows: int) -> Sample:
    """A sample of a process and all below it."""
    cpu, memory, files = 0.0, 0.0, 0
    for one in family(process):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
            files += len(os.listdir(f"/proc/{one}/fd"))
        except OSError:
            continue
    return Sample(time.monotonic(), rows, cpu, memory, files)


def run(command: Sequence[object], cache: Path, output: Path) -> tuple[list[Sample], float]:
    """Run `classify`; returns samples of it since its first row, and its seconds."""
    start, rows, place, samples = time.monotonic(), -1, 0, []
    process = subprocess.Popen(
        [sys.executable, "-m", "clipcli", *map(str, command), "-o", str(output), "--overwrite"],
        env={**os.environ, "CLIPCLI_CACHE": str(cache)},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        time.sleep(SECONDS)
        for part in output.parent.glob(f".{output.name}.*.part"):
            with part.open("rb") as file:
                file.seek(place)
                new = file.read()
            rows, place = rows + new.count(b"\n"), place + len(new)
        samples.append(look(process.pid, max(rows, 0)))
    if process.returncode not in (0, 3):
        sys.exit(f"the run ended with {process.returncode}")
    return samples, time.monotonic() - start


def print_soak(samples: Sequence[Sample], count: int) -> None:
    """The table of a run in equal parts, and how much more or less its end is than its start."""
    # Rows come a batch at a time: what counts is when each was first seen.
    seen = [one for one, before in zip(samples[1:], samples, strict=False) if one.rows > before.rows]
    edges = [count * n / PARTS for n in range(PARTS + 1)]
    rows = [float(sample.rows) for sample in seen]
    times, cpu = ([getattr(sample, name) for sample in seen] for name in ("time", "cpu"))
    at = {name: np.interp(edges, rows, values) for name, values in (("time", times), ("cpu", cpu))}
    print("| images | images/s | CPU time an image | memory | open files |\n|---|---|---|---|---|")
    rates, costs, memory, files = [], [], [], []
    for n in range(PARTS):
        within = [sample for sample in seen if edges[n] < sample.rows <= edges[n + 1]]
        rates.append(count / PARTS / (at["time"][n + 1] - at["time"][n]))
        costs.append(1e3 * (at["cpu"][n + 1] - at["cpu"][n]) / (count / PARTS))
        memory.append(statistics.median(sample.memory for sample in within))
        files.append(max(sample.files for sample in within))
        shown = f"{rates[-1]:.0f} | {costs[-1]:.3f} ms | {memory[-1]:.0f} MB | {files[-1]}"
        print(f"| to {edges[n + 1]:,.0f} | {shown} |")
    # The first part warms up: the line through the others says how the run changes.
    trend = [f"{100 * slope(values):+.1f} %" for values in (rates, costs)]
    print(f"\nFrom the second part to the last, by lines of least squares: images/s {trend[0]}, CPU time {trend[1]};")
    print(f"memory {memory[-1] - memory[1]:+.0f} MB, open files {files[-1] - files[1]:+d}")


def slope(values: Sequence[float]) -> float:
    """The change from the second value to the last, by the line of least squares, as a part of the mean."""
    rest = np.asarray(values[1:])
    return float(np.polyfit(np.arange(len(rest)), rest, 1)[0] * (len(rest) - 1) / rest.mean())


def main() -> None:
    """Make the images, run, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--into", help="a folder for what is made")
    given, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory(dir=given.into) as name:
        root = Path(name)
        (root / "model").mkdir()
        save_model(root / "model")
        for n in range(2):
            (root / f"labels-{n}.txt").write_text("".join(f"label {n} {m}\n" for m in range(100)))
        make(root / "images", given.images)
        first = ["classify", root / "images", "--labels", root / "labels-0.txt", "--model", root / "model"]
        samples, seconds = run([*first, *flags], root / "cache", root / "out.csv")
        print(f"{given.images:,} images in {seconds:.0f} s\n")
        print_soak(samples, given.images)
        if given.names:
            link(root / "images", root / "names", given.names)
            print(f"\n| {given.names:,} rows | whole run | most memory |\n|---|---|---|")
        for n, what in enumerate(("names that were not seen before, of these images", "the same with other labels")):
            if given.names:
                again = ["classify", root / "names", "--labels", root / f"labels-{n}.txt", *first[4:]]
                samples, seconds = run(again, root / "cache", root / "names.csv")
                print(f"| {what} | {seconds:.0f} s | {max(sample.memory for sample in samples):.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
