"""What `--decode fast` costs and saves beside `exact`: labels and embeddings that stay the same, and time per image.

The photos are measured as they are, as crops, and enlarged to 12 megapixels; the labels are their own and those of
Tiny-ImageNet. Prints a Markdown table.
Run: python benchmarks/decode.py [MODEL] [DATA]
"""

import csv
import io
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from side_by_side import side_by_side

import clipcli
from clipcli import backbones
from clipcli.backbones.backbone import Backbone
from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.encoding.encode import encode
from clipcli.events import result_of
from clipcli.images.decode import decode
from clipcli.images.resize import least_pixels, resizer
from clipcli.records import Embedded, ImageItem, Reference

SHARED = Path(__file__).parents[2] / "shared"
MEGAPIXELS = 12
QUALITY = 92
# Crops of a photo: these shares of its sides, at the corners and in the middle.
CROPS = (0.6, 0.75, 0.9)
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
    resize, least = resizer(backbone.preprocessing), least_pixels([backbone.preprocessing], decode=how)
    start = time.perf_counter()
    for path in paths:
        np.array(resize(decode(path.read_bytes(), least=least)))
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


def bf16(model: str, paths: Sequence[Path], backbone: Backbone, classes: Sequence[np.ndarray]) -> str:
    """How much bf16 changes in place of fp32, to compare with."""
    runtime = choose_runtime(device="cpu", precision="bf16")
    half = load(result_of(backbones.find(model)()), runtime=runtime, towers=(IMAGE,))
    ours, theirs = (embeddings(paths, one, "exact") for one in (half, backbone))
    same = [((ours @ c.T).argmax(axis=1) == (theirs @ c.T).argmax(axis=1)).sum() for c in classes]
    cosine = (ours * theirs).sum(axis=1)
    counts = " and ".join(str(count) for count in same)
    return f"\nTo compare: exact, in bf16 beside fp32: {counts} of {len(paths)}, least cosine {cosine.min():.5f}"


def label_sets(data: Path) -> dict[str, list[str]]:
    """The labels of the photos, and Tiny-ImageNet's."""
    with open(data / "photos-labels.csv", encoding="utf-8", newline="") as file:
        own = [line["label"] for line in csv.DictReader(file)]
    with zipfile.ZipFile(data / "tiny-imagenet.zip") as archive:
        text = io.TextIOWrapper(archive.open("classes.csv"), encoding="utf-8")
        others = [line["name"] for line in csv.DictReader(text)]
    return {f"{len(own)} labels": own, f"{len(others)} labels": others}


def main(model: str, data: Path) -> None:
    """Measure, and print the table."""
    labels = label_sets(data)
    classes = [clipcli.build_classifier(names, model=model).class_embeddings for names in labels.values()]
    runtime = choose_runtime(device="cpu", precision="fp32")
    backbone = load(result_of(backbones.find(model)()), runtime=runtime, towers=(IMAGE,))
    photos = sorted((data / "photos").glob("*.jpg"))
    size = "×".join(str(side) for side in backbone.preprocessing.size)
    print(f"{Path(model).name}, {size} pixels; same top-1 label, cosine of the embeddings, time per image\n")
    print(f"| photos | {' | '.join(labels)} | cosine, mean | least | exact | fast | times faster |")
    print("| --- |" + " --- |" * (len(labels) + 5))
    with TemporaryDirectory() as name:
        parts = written(photos, Path(name, "crops"), crops)
        print(row("as they are, about 0.2 megapixels", photos, backbone, classes, len(photos)))
        print(row(f"{len(CROPS) * len(PLACES)} crops of each", parts, backbone, classes, len(photos)))
        large = written(photos, Path(name, "large"), lambda photo: [enlarged(photo)])
        print(row(f"enlarged to {MEGAPIXELS} megapixels", large, backbone, classes, len(photos)))
    print(bf16(model, photos, backbone, classes))


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else str(SHARED / "models" / "starter"),
        Path(sys.argv[2]) if len(sys.argv) > 2 else SHARED / "data",
    )
