"""What images cost to decode and resize: `exact` beside open_clip's own way, and `fast` beside `exact`.

The first table has 12 megapixels in each format, one thread; open_clip's way is Pillow and torchvision. The next has
labels and embeddings that stay the same with `fast`, and time per image: the photos as they are, as crops and enlarged,
and those of Caltech-101, with labels of their own and of Tiny-ImageNet. Prints Markdown tables.
Run: python benchmarks/decode.py [MODEL] [DATA] [--formats]
"""

import csv
import io
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener
from side_by_side import side_by_side

import clipcli
from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.encoding.encode import encode
from clipcli.events import result_of
from clipcli.images.resize import resize_steps
from clipcli.images.wanted import Wanted
from clipcli.notices import unsaid
from clipcli.records import WHOLE, Embedded, ImageItem, Reference

SHARED = Path(__file__).parents[2] / "shared"
MEGAPIXELS = 12
QUALITY = 92
# Crops of a photo: these shares of its sides, at the corners and in the middle.
CROPS = (0.6, 0.75, 0.9)
# How a photo is saved in each format, as cameras, phones and web sites do.
FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": QUALITY},
    "PNG": {"compress_level": 6},
    "WEBP": {"quality": 80},
    "HEIF": {"quality": 80},
}
REPEATS = 3
PLACES = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.5))


def enlarged(photo: Image.Image) -> Image.Image:
    """The photo with `MEGAPIXELS`."""
    factor = (MEGAPIXELS * 1e6 / (photo.width * photo.height)) ** 0.5
    return photo.resize((round(photo.width * factor), round(photo.height * factor)), Image.Resampling.LANCZOS)


def crops(photo: Image.Image) -> list[Image.Image]:
    """Parts of the photo."""
    found = []
    for share in CROPS:
        width, height = round(share * photo.width), round(share * photo.height)
        for x, y in PLACES:
            left, top = round(x * (photo.width - width)), round(y * (photo.height - height))
            found.append(photo.crop((left, top, left + width, top + height)))
    return found


def written(photos: Sequence[Path], folder: Path, change: Callable[[Image.Image], list[Image.Image]]) -> list[Path]:
    """What `change` makes of the photos, as JPEGs in the folder."""
    folder.mkdir()
    paths = []
    for path in photos:
        for n, image in enumerate(change(Image.open(path).convert("RGB"))):
            paths.append(folder / f"{path.stem}-{n}.jpg")
            image.save(paths[-1], quality=QUALITY)
    return paths


def embeddings(paths: Sequence[Path], backbone: Backbone, how: str) -> np.ndarray:
    """Image embeddings `[N, D]`."""
    items = [ImageItem(path.name, Reference("file", str(path))) for path in paths]
    found = encode(items, backbones=[backbone], decode=how)
    return np.concatenate([event.embeddings[0] for event in found if isinstance(event, Embedded)])


def seconds(paths: Sequence[Path], backbone: Backbone, how: str) -> float:
    """Wall time of reading, decoding and resizing an image in one thread."""
    look = Wanted(ways=(backbone.preprocessing,), decode=how).look()
    start = time.perf_counter()
    for path in paths:
        look(path.read_bytes(), WHOLE, unsaid)
    return (time.perf_counter() - start) / len(paths)


def row(name: str, paths: Sequence[Path], backbone: Backbone, classes: Sequence[np.ndarray], timed: int) -> str:
    """A line of the table."""
    fast, exact = (embeddings(paths, backbone, how) for how in ("fast", "exact"))
    cosine = (fast * exact).sum(axis=1)
    same = [((fast @ c.T).argmax(axis=1) == (exact @ c.T).argmax(axis=1)).sum() for c in classes]
    base: list[float] = []

    def baseline() -> float:
        base.append(seconds(paths[:timed], backbone, "exact"))
        return base[-1]

    measured = side_by_side(baseline, {"fast": lambda: seconds(paths[:timed], backbone, "fast")})
    took, ratio = measured["fast"]
    agreement = " | ".join(f"{count} of {len(paths)}" for count in same)
    print(f"done: {name}", file=sys.stderr)
    return (
        f"| {name} | {agreement} | {cosine.mean():.5f} | {cosine.min():.5f} | {1000 * np.median(base):.1f} ms "
        f"| {1000 * took:.1f} ms | {ratio:.1f} |"
    )


def formats(photo: Image.Image, backbone: Backbone) -> list[str]:
    """A line for each format: milliseconds of both ways, and the largest and mean difference of a channel in levels."""
    way, steps = backbone.preprocessing, resize_steps(backbone.preprocessing)
    look, lines = Wanted(ways=(way,)).look(), []
    register_heif_opener()
    for name, options in FORMATS.items():
        stream = io.BytesIO()
        photo.save(stream, name, **options)
        data = stream.getvalue()

        def theirs(data: bytes = data) -> np.ndarray:
            image: Any = Image.open(io.BytesIO(data))
            for step in steps:
                image = step(image)
            return np.asarray(image.convert("RGB"), int)

        def ours(data: bytes = data) -> np.ndarray:
            return look(data, WHOLE, unsaid)[0][0].astype(int)

        base: list[float] = []

        def baseline(work: Callable[[], object] = theirs, base: list[float] = base) -> float:
            base.append(timed(work))
            return base[-1]

        measured = side_by_side(baseline, {"ours": partial(timed, ours)})
        took, ratio = measured["ours"]
        apart = np.abs(ours() - theirs())
        times = f"{1000 * np.median(base):.0f} ms | {1000 * took:.0f} ms | {ratio:.1f}"
        lines.append(f"| {name} | {times} | {apart.max()} | {apart.mean():.4f} |")
    return lines


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call, of a few."""
    start = time.perf_counter()
    for _ in range(REPEATS):
        work()
    return (time.perf_counter() - start) / REPEATS


def bf16(model: str, paths: Sequence[Path], backbone: Backbone, classes: Sequence[np.ndarray]) -> str:
    """How much bf16 changes in place of fp32, to compare with."""
    runtime = choose_runtime(device="cpu", precision="bf16")
    half = load(result_of(backbones.find(model)()), runtime=runtime, towers=(IMAGE,))
    ours, theirs = (embeddings(paths, one, "exact") for one in (half, backbone))
    same = [((ours @ c.T).argmax(axis=1) == (theirs @ c.T).argmax(axis=1)).sum() for c in classes]
    cosine = (ours * theirs).sum(axis=1)
    counts = " and ".join(str(count) for count in same)
    return f"\nTo compare: exact, in bf16 beside fp32: {counts} of {len(paths)}, least cosine {cosine.min():.5f}"


def label_sets(data: Path, caltech: Sequence[Path]) -> dict[str, list[str]]:
    """The labels of the photos, Tiny-ImageNet's and Caltech's."""
    with open(data / "photos-labels.csv", encoding="utf-8", newline="") as file:
        own = [line["label"] for line in csv.DictReader(file)]
    with zipfile.ZipFile(data / "tiny-imagenet.zip") as archive:
        text = io.TextIOWrapper(archive.open("classes.csv"), encoding="utf-8")
        others = [line["name"] for line in csv.DictReader(text)]
    theirs = sorted({path.parent.name.replace("_", " ") for path in caltech})
    return {f"{len(names)} labels": names for names in (own, others, theirs)}


def unpacked(data: Path, folder: Path) -> list[Path]:
    """The photos of Caltech-101's `val`."""
    with zipfile.ZipFile(data / "caltech101.zip") as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith("val/")])
    return sorted(folder.glob("val/*/*.jpg"))


def main(model: str, data: Path, *, only_formats: bool) -> None:
    """Measure, and print the tables."""
    runtime = choose_runtime(device="cpu", precision="fp32")
    backbone = load(result_of(backbones.find(model)()), runtime=runtime, towers=(IMAGE,))
    photos = sorted((data / "photos").glob("*.jpg"))
    size = "×".join(str(side) for side in backbone.preprocessing.size)
    print(f"{Path(model).name}, {size} pixels\n\n| {MEGAPIXELS} megapixels | open_clip's way | exact |", end="")
    print(" times faster | largest difference | mean |\n| --- |" + " --- |" * 5)
    print("\n".join(formats(enlarged(Image.open(photos[0]).convert("RGB")), backbone)), flush=True)
    if only_formats:
        return
    with TemporaryDirectory() as name:
        caltech = unpacked(data, Path(name, "caltech"))
        labels = label_sets(data, caltech)
        classes = [clipcli.build_classifier(names, model=model).class_embeddings for names in labels.values()]
        print(f"\n| photos | {' | '.join(labels)} | cosine, mean | least | exact | fast | times faster |")
        print("| --- |" + " --- |" * (len(labels) + 5))
        parts = written(photos, Path(name, "crops"), crops)
        print(row("as they are, about 0.2 megapixels", photos, backbone, classes, len(photos)), flush=True)
        print(row(f"{len(CROPS) * len(PLACES)} crops of each", parts, backbone, classes, len(photos)), flush=True)
        print(row("Caltech-101 as they are", caltech, backbone, classes, len(photos)), flush=True)
        for several, of in ((photos, ""), (caltech[::8], "Caltech-101, an eighth, ")):
            large = written(several, Path(name, f"large-{len(several)}"), lambda photo: [enlarged(photo)])
            print(row(f"{of}enlarged to {MEGAPIXELS} megapixels", large, backbone, classes, len(photos)), flush=True)
    print(bf16(model, photos, backbone, classes))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--formats"]
    main(
        words[0] if words else "tiny",
        Path(words[1]) if len(words) > 1 else SHARED / "data",
        only_formats="--formats" in sys.argv,
    )
