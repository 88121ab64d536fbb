"""How near other libraries come to the model itself, for what `clipcli convert` writes.

With `tiny`, and with random weights in architectures of open_clip: the largest difference in a number of an embedding,
of length 1, over the images and texts by which the command itself checks; then what `--model` makes of the folder, over
8 images of noise and 20 texts; and what the command says besides.
Run: python benchmarks/conversions.py ViT-B-32-quickgelu ViT-B-32
"""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

import clipcli
from clipcli.backbones.architectures import find_architecture
from clipcli.backbones.load import initialise
from clipcli.backbones.open_clip_folder import write_open_clip
from clipcli.backbones.runtime import choose_runtime
from clipcli.commands.convert.settings import FORMS

TEXTS = [f"a photo of {n} cats" for n in range(20)]
IMAGES = list(np.random.default_rng(0).integers(0, 255, (8, 300, 400, 3), dtype=np.uint8))


def with_random_weights(name: str, folder: Path) -> Path:
    """A folder of a model of this architecture."""
    architecture = find_architecture(name)
    torch.manual_seed(0)
    backbone = initialise(architecture, runtime=choose_runtime(device="cpu", precision="fp32"))
    folder.mkdir()
    write_open_clip(folder, architecture, backbone, backbone.towers.state_dict())
    return folder


def as_model(one: str, other: str) -> float:
    """The largest difference between two models as `--model` reads them."""
    models = [
        clipcli.load(model, precision="fp32", device="cpu", engine="torch", cache=False) for model in (one, other)
    ]
    images = [model.embed_images(IMAGES) for model in models]
    texts = [model.embed_texts(TEXTS) for model in models]
    return float(max(abs(images[0] - images[1]).max(), abs(texts[0] - texts[1]).max()))


def convert(model: str, form: str, output: Path) -> str:
    """Convert a model, and say how near it is; or why it cannot be."""
    try:
        done = clipcli.convert(model, to=form, output=output)
    except clipcli.ClipcliError as e:
        return str(e).partition(": ")[2]
    said = [f"{done.difference:.1e} by {done.read_by}, {as_model(done.folder, model):.1e} by --model", *done.notes]
    return "; ".join(said)


def main(names: list[str]) -> None:
    """Print a line for each model and form."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        for name in ("tiny", *names):
            model = name if name == "tiny" else str(with_random_weights(name, Path(place, name)))
            for form in FORMS:
                print(f"{name:20} {form:13} {convert(model, form, Path(place, f'{name}-{form}'))}", flush=True)


main(sys.argv[1:])
